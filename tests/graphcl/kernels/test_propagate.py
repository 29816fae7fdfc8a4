import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels.adjacency import Adjacency
from graphcl.kernels.propagate import propagate

F64 = torch.float64


def graph(num_nodes, num_edges, *, undirected=True, normalize="sym", dtype=F64):
    torch.manual_seed(num_nodes)
    edge_index = torch.randint(num_nodes, (2, num_edges))
    weight = torch.rand(num_edges, dtype=dtype)
    if undirected:
        edge_index, weight = torch.cat([edge_index, edge_index.flip(0)], dim=1), torch.cat([weight, weight])
    return Adjacency.from_edge_index(edge_index, num_nodes, edge_weight=weight, normalize=normalize)


@pytest.mark.parametrize("normalize", ["sym", "row", None])
@pytest.mark.parametrize("undirected", [True, False])
@pytest.mark.parametrize(
    ("num_nodes", "num_edges", "dim", "hops"), [(1, 2, 1, 1), (7, 12, 3, 2), (257, 900, 17, 3), (31, 0, 5, 1)]
)
def test_hops_and_gradients_match_dense_powers(num_nodes, num_edges, dim, hops, undirected, normalize):
    adj = graph(num_nodes, num_edges, undirected=undirected, normalize=normalize)
    dense = torch.linalg.matrix_power(adj.to_dense(), hops)
    x = torch.randn(num_nodes, dim, dtype=F64, requires_grad=True)
    out = propagate(adj, x, hops)
    torch.testing.assert_close(out, dense @ x)
    grad = torch.randn_like(out)
    out.backward(grad)
    torch.testing.assert_close(x.grad, dense.t() @ grad)
    single = adj.to(dtype=torch.float32)
    torch.testing.assert_close(propagate(single, x.detach().float(), hops), (dense @ x).float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("undirected", [True, False])
def test_first_and_second_derivatives_are_right_for_features_and_values(undirected):
    adj = graph(5, 7, undirected=undirected)
    x = torch.randn(5, 2, dtype=F64, requires_grad=True)
    values = adj.values.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: propagate(adj, x, 2), (x,))
    assert torch.autograd.gradcheck(lambda v, x: propagate(adj.reweight(v), x, 2), (values, x))
    assert torch.autograd.gradgradcheck(lambda v, x: propagate(adj.reweight(v), x, 2), (values, x))


def test_an_operator_used_twice_adds_both_gradients():
    adj = graph(7, 12, undirected=False)
    x = torch.randn(7, 3, dtype=F64, requires_grad=True)
    values = adj.values.clone().requires_grad_()
    other = adj.reweight(values)
    (propagate(other, x) * propagate(other, x.sin(), 2)).sum().backward()
    dense = adj.to_dense().requires_grad_()
    y = x.detach().clone().requires_grad_()
    ((dense @ y) * (dense @ (dense @ y.sin()))).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)
    torch.testing.assert_close(values.grad, dense.grad[adj.pattern.row.long(), adj.pattern.col.long()])


def test_learned_values_that_an_optimiser_changes_are_used_anew():
    adj = graph(7, 12, undirected=False)
    values = torch.nn.Parameter(adj.values.clone())
    learned = adj.reweight(values)
    for _ in range(2):
        x = torch.randn(7, 2, dtype=F64, requires_grad=True)
        propagate(learned, x).sum().backward()
        torch.testing.assert_close(x.grad, learned.to_dense().detach().sum(0)[:, None].expand(7, 2))
        with torch.no_grad():
            values.add_(1.0)


def test_values_changed_between_forward_and_backward_are_an_error_not_a_wrong_gradient():
    values = torch.ones(3, requires_grad=True)
    adj = Adjacency.from_edge_index(torch.tensor([[0], [1]]), 2).reweight(values)
    out = propagate(adj, torch.ones(2, 1, requires_grad=True))
    with torch.no_grad():
        values.mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


@pytest.mark.parametrize(
    "x",
    [
        torch.randn(7, 8, dtype=F64)[:, 2:5],
        torch.randn(7, 8, dtype=F64)[:, ::3],
        torch.randn(3, 7, dtype=F64).t(),
        torch.randn(1, 3, dtype=F64).expand(7, 3),
        torch.randn(14, 3, dtype=F64)[::2],
        torch.randn(7, 1, dtype=F64),
        torch.randn(7, dtype=F64),
        torch.randn(7, 0, dtype=F64),
    ],
)
def test_any_strides_and_one_dimension_are_taken(x):
    adj = graph(7, 12, undirected=False)
    leaf = x.clone().requires_grad_()
    torch.testing.assert_close(propagate(adj, x), adj.to_dense() @ x)
    propagate(adj, leaf).sum().backward()  # an expanded gradient
    torch.testing.assert_close(leaf.grad, adj.to_dense().t() @ torch.ones_like(x))


def test_graphs_without_nodes_or_edges_are_graphs():
    none = torch.zeros(2, 0, dtype=torch.int64)
    for num_nodes in (0, 5):
        for self_loops in (True, False):
            adj = Adjacency.from_edge_index(none, num_nodes, self_loops=self_loops)
            x = torch.randn(num_nodes, 3, requires_grad=True)
            out = propagate(adj, x)
            out.sum().backward()
            want = x if self_loops else torch.zeros_like(x)
            assert torch.equal(out, want)
            assert torch.equal(x.grad, torch.full_like(x, float(self_loops)))


def test_no_hop_is_the_identity():
    x = torch.randn(7, 3, dtype=F64)
    assert propagate(graph(7, 12), x, 0) is x


@pytest.mark.parametrize("undirected", [True, False])
def test_the_same_bits_come_out_of_every_run(undirected):
    adj = graph(2003, 30_000, undirected=undirected, dtype=torch.float32)
    x = torch.randn(2003, 33)
    grad = torch.randn(2003, 33)
    torch.use_deterministic_algorithms(True)
    try:
        results = []
        for _ in range(4):
            leaf, values = x.clone().requires_grad_(), adj.values.clone().requires_grad_()
            out = propagate(adj.reweight(values), leaf, 2)
            out.backward(grad)
            results.append((out.detach(), leaf.grad, values.grad))
    finally:
        torch.use_deterministic_algorithms(False)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_nothing_of_the_size_of_the_edges_times_the_features_is_allocated():
    adj = graph(100, 5000, dtype=torch.float32)
    x = torch.randn(100, 64, requires_grad=True)
    values = adj.values.clone().requires_grad_()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        propagate(adj.reweight(values), x).sum().backward()
    largest = max(event.cpu_memory_usage for event in profile.events())
    assert 0 < largest < adj.nnz * 64 * 4 / 4  # what an operator holds in all, results included


@pytest.mark.parametrize(
    ("x", "hops", "message"),
    [
        (torch.zeros(6, 2), 1, r"N = 7 nodes; got \(6, 2\)"),
        (torch.zeros(7, 2, 2), 1, r"got \(7, 2, 2\)"),
        (torch.zeros(7, 2, dtype=F64), 1, r"x must be torch\.float32 like the adjacency; got torch\.float64"),
        (torch.zeros(7, 2, dtype=torch.int64), 1, r"x must be float32 or float64; got torch\.int64"),
        (torch.zeros(7, 2, device="meta"), 1, "x must be on cpu like the adjacency; got meta"),
        (torch.zeros(7, 2), -1, "hops must be 0 or more; got -1"),
    ],
)
def test_features_that_do_not_go_with_the_graph_are_refused(x, hops, message):
    with pytest.raises(InputError, match=message):
        propagate(graph(7, 12, dtype=torch.float32), x, hops)
