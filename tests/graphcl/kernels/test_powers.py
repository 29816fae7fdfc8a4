import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels import Adjacency, propagate
from graphcl.kernels import powers as module
from graphcl.kernels.powers import adjacency_powers


def graph(n=23, edges=60, seed=0, dtype=torch.float64, normalize="row"):
    torch.manual_seed(seed)
    index = torch.randint(n, (2, edges))
    index = torch.cat([index, index.flip(0)], 1)
    return Adjacency.from_edge_index(index, n, normalize=normalize).to(dtype=dtype)


def dense(adj, order, cumulative=True):
    a = adj.to_dense()
    powers = [torch.linalg.matrix_power(a, r) for r in range(1, order + 1)]
    return sum(powers) if cumulative else powers[-1]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("cumulative", [True, False])
def test_without_a_bound_all_entries_are_there(order, cumulative):
    adj = graph()
    found = adjacency_powers(adj, order, cumulative=cumulative)
    torch.testing.assert_close(found.adjacency.to_dense(), dense(adj, order, cumulative))
    assert found.exact
    assert not found.adjacency.values.requires_grad
    assert found.adjacency.self_loops


def test_they_act_as_repeated_propagation_does():
    adj, x = graph(dtype=torch.float32), torch.randn(23, 3)
    want = propagate(adj, x) + propagate(adj, x, 2) + propagate(adj, x, 3)
    torch.testing.assert_close(propagate(adjacency_powers(adj, 3).adjacency, x), want)


@pytest.mark.parametrize("max_fill", [1, 4, 9])
def test_a_bound_keeps_the_largest_of_each_row_and_its_sum(max_fill):
    adj = graph()
    whole = dense(adj, 3)
    found = adjacency_powers(adj, 3, max_fill=max_fill)
    kept = found.adjacency.to_dense()
    assert int((kept > 0).sum(1).max()) <= max_fill
    torch.testing.assert_close(kept.sum(1), whole.sum(1))
    for row in range(23):
        order = torch.argsort(whole[row], descending=True, stable=True)[:max_fill]
        want = torch.zeros(23, dtype=torch.float64).index_put((order,), whole[row][order])
        lost = 1 - want.sum() / whole[row].sum()
        torch.testing.assert_close(found.dropped[row], lost)
        torch.testing.assert_close(kept[row], want * whole[row].sum() / want.sum())
    assert not found.exact
    assert "23 of 23 rows cut" in repr(found) if max_fill == 1 else "rows cut" in repr(found)


def test_a_bound_above_every_row_changes_nothing():
    adj = graph()
    bounded, free = adjacency_powers(adj, 3, max_fill=23), adjacency_powers(adj, 3)
    assert torch.equal(bounded.adjacency.values, free.adjacency.values)
    assert bounded.exact


@pytest.mark.parametrize("limit", [1, 40, 200])
def test_chunks_are_not_seen_in_the_result(limit, monkeypatch):
    adj, same = graph(), graph()
    want = adjacency_powers(adj, 3, max_fill=5)
    monkeypatch.setattr(module, "_ENTRIES", limit)
    found = adjacency_powers(same, 3, max_fill=5)
    assert torch.equal(found.adjacency.pattern.col, want.adjacency.pattern.col)
    assert torch.equal(found.adjacency.values, want.adjacency.values)
    assert torch.equal(found.dropped, want.dropped)


def test_first_powers_are_the_operator_itself_and_others_are_made_once():
    adj = graph()
    assert adjacency_powers(adj, 1).adjacency is adj
    assert adjacency_powers(adj, 2) is adjacency_powers(adj, 2)
    assert adjacency_powers(adj, 2) is not adjacency_powers(adj, 2, cumulative=False)
    assert not adjacency_powers(adj, 1, max_fill=2).exact


def test_among_equal_weights_the_smallest_ids_stay():
    star = torch.tensor([[1, 2, 3, 4], [0, 0, 0, 0]])
    adj = Adjacency.from_edge_index(star, 5, normalize="row", self_loops=False)
    kept = adjacency_powers(adj, 1, max_fill=2).adjacency.to_dense()
    torch.testing.assert_close(kept[0], torch.tensor([0.0, 0.5, 0.5, 0.0, 0.0]))
    torch.testing.assert_close(adjacency_powers(adj, 1, max_fill=2).dropped, torch.tensor([0.5, 0, 0, 0, 0]))


def test_isolated_nodes_keep_empty_rows():
    adj = Adjacency.from_edge_index(torch.tensor([[0, 1], [1, 0]]), 4, normalize="row", self_loops=False)
    found = adjacency_powers(adj, 2, max_fill=1)
    assert not found.adjacency.to_dense()[2:].any()
    assert found.dropped.isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"order": 0}, "order must be >= 1"), ({"order": 2, "max_fill": 0}, "max_fill must be >= 1")],
)
def test_arguments_out_of_range_are_named(options, message):
    with pytest.raises(InputError, match=message):
        adjacency_powers(graph(), **options)


def test_weights_that_have_no_order_are_refused():
    adj = graph()
    with pytest.raises(InputError, match="finite and not negative"):
        adjacency_powers(adj.reweight(-adj.values), 2)
