from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.loader import NodeLoader
from torch_geometric.utils import k_hop_subgraph, subgraph

from graphcl.errors import InputError
from graphcl.training import CSRNeighbourSampler, neighbour_sampler
from graphcl.training.neighbour_sampler import distinct_draws


@pytest.fixture
def graph() -> Data:
    """A directed graph with repeated edges, loops, a node without edges, and ids of its own in no order."""
    torch.manual_seed(0)
    index = torch.randint(0, 46, (2, 300))
    return Data(x=torch.arange(47.0).unsqueeze(1), edge_index=index, edge_attr=torch.arange(300), num_nodes=47)


@pytest.mark.parametrize("fanouts", [(1,), (3,), (2, 3), (4, 1, 2)])
def test_every_node_gets_as_many_distinct_edges_as_it_has_and_the_fanout_allows(graph, fanouts):
    torch.manual_seed(1)
    out = CSRNeighbourSampler(graph.edge_index, 47, fanouts).sample(torch.tensor([5, 46, 0]))
    source, target = graph.edge_index
    assert torch.equal(source[out.edge], out.node[out.row]), "an edge is the one it says it is"
    assert torch.equal(target[out.edge], out.node[out.col])
    assert len(out.edge.unique()) == len(out.edge)
    degree = torch.bincount(target, minlength=47)
    begin = 0
    for hop, (fanout, nodes, edges) in enumerate(zip(fanouts, out.num_sampled_nodes, out.num_sampled_edges, strict=False)):
        frontier = out.node[begin : begin + nodes]
        seen = torch.bincount(out.col, minlength=len(out.node))[begin : begin + nodes]
        assert torch.equal(seen, degree[frontier].clamp(max=fanout)), hop
        assert edges == int(seen.sum())
        begin += nodes
    assert torch.equal(out.node[:3], torch.tensor([5, 46, 0]))
    assert len(out.node.unique()) == len(out.node) == sum(out.num_sampled_nodes)


def test_with_all_neighbours_it_is_the_neighbourhood_of_so_many_hops(graph):
    out = CSRNeighbourSampler(graph.edge_index, 47, (-1, -1)).sample(torch.tensor([7, 9]))
    nodes, _, _, _ = k_hop_subgraph([7, 9], 2, graph.edge_index, num_nodes=47)
    assert torch.equal(out.node.sort().values, nodes)


def test_every_subset_is_as_likely_as_any_other():
    torch.manual_seed(0)
    draws = distinct_draws(torch.full((30_000,), 5), 3).sort(0).values
    found = Counter(map(tuple, draws.T.tolist()))
    assert set(found) == set(combinations(range(5), 3))
    assert all(abs(count - 3000) < 5 * 52 for count in found.values())  # five deviations of a binomial count


def test_sizes_may_differ_and_all_of_a_set_is_all_of_it():
    torch.manual_seed(0)
    size = torch.tensor([4, 9, 2**40])
    draws = distinct_draws(size, 4)
    assert sorted(draws[:, 0].tolist()) == [0, 1, 2, 3]
    assert bool((draws < size).all())
    assert bool((draws >= 0).all())
    assert all(len(set(column)) == 4 for column in draws.T.tolist())


def test_the_seed_decides_and_a_sample_leaves_no_trace(graph):
    sampler = CSRNeighbourSampler(graph.edge_index, 47, (2, 2))
    torch.manual_seed(3)
    first = sampler.sample(torch.tensor([1, 2]))
    sampler.sample(torch.tensor([2, 8, 30]))
    torch.manual_seed(3)
    again = sampler.sample(torch.tensor([1, 2]))
    assert torch.equal(first.edge, again.edge)
    own = [
        CSRNeighbourSampler(graph.edge_index, 47, (2, 2), generator=torch.Generator().manual_seed(4)).sample(torch.tensor([1]))
        for _ in range(2)
    ]
    assert torch.equal(own[0].edge, own[1].edge)


@pytest.mark.parametrize("entries", [1, 7, 10**6])
def test_the_induced_graph_has_every_edge_among_the_nodes(graph, monkeypatch, entries):
    monkeypatch.setattr(neighbour_sampler, "ENTRIES", entries)
    nodes = torch.tensor([12, 3, 46, 40, 41, 5, 9, 30, 22])
    index, edge = CSRNeighbourSampler(graph.edge_index, 47, (1,)).induced(nodes)
    want, kept = subgraph(nodes, graph.edge_index, torch.arange(300), num_nodes=47)
    assert torch.equal(edge.sort().values, kept)
    assert torch.equal(nodes[index], graph.edge_index[:, edge])
    assert index.shape == want.shape
    assert bool((index[1].diff() >= 0).all())
    nothing, none = CSRNeighbourSampler(graph.edge_index, 47, (1,)).induced(nodes[:0])
    assert nothing.shape == (2, 0)
    assert none.shape == (0,)


@pytest.mark.parametrize("workers", [0, 1])
def test_it_serves_the_node_loader(graph, workers):
    sampler = CSRNeighbourSampler(graph.edge_index, 47, (3, 2))
    loader = NodeLoader(graph, sampler, input_nodes=torch.arange(20), batch_size=8, num_workers=workers)
    batches = list(loader)
    assert [batch.batch_size for batch in batches] == [8, 8, 4]
    assert torch.equal(torch.cat([batch.input_id for batch in batches]), torch.arange(20))
    for batch in batches:
        assert torch.equal(batch.x, graph.x[batch.n_id])
        assert torch.equal(batch.edge_attr, batch.e_id)
        assert torch.equal(batch.n_id[batch.edge_index], graph.edge_index[:, batch.e_id])


def test_a_graph_without_edges_gives_the_seeds_alone():
    out = CSRNeighbourSampler(torch.zeros(2, 0, dtype=torch.long), 3, (2, 2)).sample(torch.tensor([2, 0]))
    assert out.node.tolist() == [2, 0]
    assert out.row.numel() == out.col.numel() == out.edge.numel() == 0


@pytest.mark.parametrize("fanouts", [(), (0,), (3, -2)])
def test_fanouts_that_draw_nothing_are_refused(fanouts):
    with pytest.raises(InputError, match=r"fanouts must be >= 1, or -1 for all neighbours, at least one hop; got \["):
        CSRNeighbourSampler(torch.zeros(2, 0, dtype=torch.long), 3, fanouts)


def test_seeds_that_are_no_nodes_or_come_twice_are_refused_and_leave_no_trace(graph):
    sampler = CSRNeighbourSampler(graph.edge_index, 47, (2,))
    with pytest.raises(InputError, match=r"lie in \[0, 47\); got 3 to 47"):
        sampler.sample(torch.tensor([3, 47]))
    with pytest.raises(InputError, match=r"ids \(n,\) of int64 or int32; got \(2,\) of torch.float32"):
        sampler.sample(torch.ones(2))
    with pytest.raises(InputError, match="distinct nodes; got 3 with 2 different ones"):
        sampler.sample(torch.tensor([3, 4, 3]))
    assert sampler.sample(torch.tensor([3, 4])).node[:2].tolist() == [3, 4]
    with pytest.raises(InputError, match="draws around nodes"):
        sampler.sample_from_edges(None)
    with pytest.raises(InputError, match=r"node ids must be in \[0, 5\)"):
        CSRNeighbourSampler(graph.edge_index, 5, (2,))
