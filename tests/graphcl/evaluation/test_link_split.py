import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from graphcl.errors import InputError
from graphcl.evaluation import check_no_leak, hide_links, split_links

EDGES = ("train", "val", "test")


def ring(n, *more):
    index = torch.tensor([[i, (i + step) % n] for step in (1, *more) for i in range(n)]).T
    return torch.cat([index, index.flip(0)], 1)


def pairs(index):
    return {tuple(sorted(pair)) for pair in index.T.tolist()}


def test_each_undirected_edge_is_on_one_side_and_the_sizes_are_right():
    split = split_links(ring(100, 2), 100)
    parts = [pairs(getattr(split, name)) for name in EDGES]
    assert [len(part) for part in parts] == [170, 10, 20]
    assert set.union(*parts) == pairs(ring(100, 2))
    assert sum(len(part) for part in parts) == len(set.union(*parts))
    assert split.protocol == "links 85/5/10, seed 0"


@given(n=st.integers(8, 40), share=st.floats(0.05, 0.5), seed=st.integers(0, 10**6))
@settings(max_examples=150, deadline=None)
def test_non_edges_are_never_edges_nor_loops_nor_drawn_twice(n, share, seed):
    torch.manual_seed(seed)
    every = torch.triu_indices(n, n, 1)
    edges = every[:, torch.randperm(every.shape[1])[: max(int(share * every.shape[1]), 20 if n > 9 else 12)]]
    split = split_links(torch.cat([edges, edges.flip(0), torch.arange(n).expand(2, n)], 1), n, seed=seed, val=0.1)
    negatives = torch.cat([getattr(split, f"{name}_negatives") for name in EDGES], 1)
    assert bool((negatives[0] < negatives[1]).all())
    assert len(pairs(negatives)) == negatives.shape[1] == edges.shape[1]
    assert not pairs(negatives) & pairs(edges)
    for name in EDGES:
        assert getattr(split, name).shape == getattr(split, f"{name}_negatives").shape


@pytest.mark.parametrize("steps", [(), (2,)])
def test_every_non_edge_is_as_likely_as_any_other(steps):
    # A sparse ring draws and rejects, a dense one lists: both are uniform over the non-edges.
    n = 20
    every = n * (n - 1) // 2 - n * (1 + len(steps))
    counts = torch.zeros(n * n)
    for seed in range(1500):
        split = split_links(ring(n, *steps), n, seed=seed, val=0.1)
        drawn = torch.cat([split.val_negatives, split.test_negatives], 1)
        counts.index_add_(0, drawn[0] * n + drawn[1], torch.ones(drawn.shape[1]))
    seen = counts[counts > 0]
    mean = counts.sum().item() / every
    assert len(seen) == every
    assert float(((seen - mean) ** 2 / mean).sum()) < every + 5 * (2 * every) ** 0.5


def test_the_same_seed_gives_the_same_split_whatever_the_order_of_the_edges():
    index = ring(60, 3)
    shuffled = index[:, torch.randperm(index.shape[1])].flip(0).int()
    first, second, other = split_links(index, 60, seed=4), split_links(shuffled, 60, seed=4), split_links(index, 60, seed=5)
    for name in (*EDGES, "test_negatives"):
        assert torch.equal(getattr(first, name), getattr(second, name))
    assert not torch.equal(first.test, other.test)


def test_one_direction_repeats_and_loops_make_no_other_split():
    both = ring(60)
    one = both[:, :60]
    messy = torch.cat([one, one[:, :7], torch.tensor([[3, 9], [3, 9]])], 1)
    first, second = split_links(both, 60), split_links(messy, 60)
    assert all(torch.equal(getattr(first, name), getattr(second, name)) for name in EDGES)


def test_the_edges_of_message_passing_are_the_training_edges_in_both_directions():
    split = split_links(ring(60), 60)
    assert pairs(split.message_edges) == pairs(split.train)
    assert split.message_edges.shape[1] == 2 * split.train.shape[1]
    check_no_leak(split.message_edges, split)


@pytest.mark.parametrize("part", ["val", "test"])
@pytest.mark.parametrize("flip", [False, True])
def test_a_held_out_edge_in_either_direction_is_a_leak(part, flip):
    split = split_links(ring(60), 60)
    edge = getattr(split, part)[:, 1:2]
    edge = edge.flip(0) if flip else edge
    u, v = edge.flatten().tolist()
    with pytest.raises(InputError, match=f"1 held-out edges are in the graph of message passing, the first is {u} -> {v}"):
        check_no_leak(torch.cat([split.message_edges, edge], 1), split)
    with pytest.raises(InputError, match="9 held-out edges"):
        check_no_leak(ring(60), split)


def test_hidden_links_go_with_their_weights_and_the_graph_stays():
    index = torch.cat([ring(60), torch.tensor([[5], [5]])], 1)
    weight = torch.arange(121.0)
    data = Data(
        x=torch.ones(60, 2), edge_index=index, edge_weight=weight, edge_attr=weight[:, None], train_mask=torch.ones(60) > 0
    )
    split = split_links(index, 60)
    hidden = hide_links(data, split)
    assert pairs(hidden.edge_index) == pairs(split.train) | {(5, 5)}
    assert torch.equal(index[:, hidden.edge_weight.long()], hidden.edge_index)
    assert torch.equal(hidden.edge_attr[:, 0], hidden.edge_weight)
    assert hidden.x is data.x
    assert len(hidden.train_mask) == 60
    assert data.edge_index is index


def test_what_cannot_be_split_is_refused():
    with pytest.raises(InputError, match="3 undirected edges are too few"):
        split_links(ring(3), 3)
    with pytest.raises(InputError, match=r"must name nodes 0 \.\. 4; got 0 \.\. 59: ids start at 0"):
        split_links(ring(60), 5)
    with pytest.raises(InputError, match=r"leave something for training; got 0\.5 and 0\.5"):
        split_links(ring(60), 60, val=0.5, test=0.5)
    with pytest.raises(InputError, match=r"must be \(2, E\) integers; got \(60, 2\)"):
        split_links(ring(60).T[:60], 60)
    full = torch.triu_indices(9, 9, 1)
    with pytest.raises(InputError, match="36 edges and only 0 pairs without one"):
        split_links(full, 9)
    with pytest.raises(InputError, match="graph of 60 nodes; got one of 70"):
        hide_links(Data(edge_index=ring(60), num_nodes=70), split_links(ring(60), 60))
