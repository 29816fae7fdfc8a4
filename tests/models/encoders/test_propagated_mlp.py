import gc

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from graphcl.errors import InputError
from graphcl.kernels import cached_adjacency
from graphcl.models.encoders import PropagatedMLP, propagated_features, unit_rows


def graph(n=7, f=5, weighted=False):
    """A ring with a chord, node ``n - 1`` isolated and node 0 without features."""
    torch.manual_seed(0)
    edges = torch.tensor([[i, (i + 1) % (n - 1)] for i in range(n - 1)] + [[0, 2]]).T
    weight = torch.rand(edges.shape[1]) + 0.1 if weighted else None
    x = torch.randn(n, f).relu()
    x[0] = 0
    index = torch.cat([edges, edges.flip(0)], 1)
    return x, index, None if weight is None else torch.cat([weight, weight])


def by_formula(encoder, x, index, weight, hops):
    """W2 ReLU(W1 A^hops x + b1) + b2 with a dense A, in double precision."""
    n = len(x)
    a = torch.zeros(n, n, dtype=torch.float64)
    a.index_put_(
        (index[1], index[0]), torch.ones(index.shape[1]).double() if weight is None else weight.double(), accumulate=True
    )
    a += torch.eye(n, dtype=torch.float64)
    scale = a.sum(1).rsqrt()
    a = scale[:, None] * a * scale
    smooth = torch.linalg.matrix_power(a, hops) @ F.normalize(x.double(), dim=1)
    hidden = (smooth @ encoder.first.weight.double().T + encoder.first.bias.double()).relu()
    return hidden @ encoder.second.weight.double().T + encoder.second.bias.double()


@pytest.mark.parametrize("hops", [0, 1, 2, 5])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_it_is_its_formula_in_value_and_gradients(hops, weighted, sparse):
    x, index, weight = graph(weighted=weighted)
    encoder = PropagatedMLP(5, 3, hidden=11, hops=hops)
    out = encoder(x.to_sparse_csr() if sparse else x, index, weight)
    want = by_formula(encoder, x, index, weight, hops)
    torch.testing.assert_close(out.double(), want, rtol=1e-5, atol=1e-6)
    ours = torch.autograd.grad(out.square().sum(), encoder.parameters())
    theirs = torch.autograd.grad(want.square().sum(), encoder.parameters())
    for mine, exact in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, exact, rtol=1e-4, atol=1e-5)


def test_no_hops_ignore_the_graph():
    x, index, _ = graph()
    encoder = PropagatedMLP(5, 3, hops=0)
    plain = nn.Sequential(encoder.first, nn.ReLU(), encoder.second)
    none = torch.zeros(2, 0, dtype=torch.int64)
    torch.testing.assert_close(encoder(x, index), plain(F.normalize(x, dim=1)))
    assert torch.equal(encoder(x, index), encoder(x, none))


def test_without_edges_every_node_is_alone_with_itself():
    x, _, _ = graph()
    encoder = PropagatedMLP(5, 3, hops=2)
    plain = nn.Sequential(encoder.first, nn.ReLU(), encoder.second)
    torch.testing.assert_close(encoder(x, torch.zeros(2, 0, dtype=torch.int64)), plain(F.normalize(x, dim=1)))


@pytest.mark.parametrize("n", [1, 2, 13])
def test_the_order_of_nodes_only_orders_the_rows(n):
    torch.manual_seed(0)
    x, index, order = torch.randn(n, 4), torch.randint(n, (2, 3 * n)), torch.randperm(n)
    encoder = PropagatedMLP(4, 3, hidden=8)
    torch.testing.assert_close(encoder(x[order], order.argsort()[index]), encoder(x, index)[order])


def test_the_length_of_a_row_does_not_matter_and_a_row_of_zeros_is_finite():
    x, index, _ = graph()
    encoder = PropagatedMLP(5, 3)
    out = encoder(x, index)
    assert out.isfinite().all()
    torch.testing.assert_close(encoder(x * torch.arange(1, 8)[:, None], index), out)


def test_a_step_reuses_what_was_propagated_and_reads_features_that_changed_again():
    x, index, _ = graph()
    adj = cached_adjacency(index, 7)
    first = propagated_features(x, adj, 2)
    assert propagated_features(x, adj, 2) is first
    assert propagated_features(x, adj, 1) is not first
    x.mul_(-1)
    assert torch.equal(propagated_features(x, adj, 2), -first)
    encoder = PropagatedMLP(5, 3)
    before = encoder(x, index)
    x[1] = torch.ones(5)
    assert not torch.equal(encoder(x, index), before)
    torch.testing.assert_close(encoder(x, index), encoder(x.clone(), index.clone()))


def test_what_was_propagated_goes_with_the_features():
    from graphcl.models.encoders import propagated_mlp

    gc.collect()
    kept = len(propagated_mlp._propagated), len(propagated_mlp._unit_rows)
    x, index, _ = graph()
    PropagatedMLP(5, 3)(x, index)
    sparse = x.to_sparse_csr()
    PropagatedMLP(5, 3)(sparse, index)
    propagated_features(sparse, cached_adjacency(index, 7), 2)
    # Dense rows of length 1 serve the propagation alone.
    assert (len(propagated_mlp._propagated), len(propagated_mlp._unit_rows)) == (kept[0] + 2, kept[1] + 1)
    del x, index, sparse
    gc.collect()
    assert (len(propagated_mlp._propagated), len(propagated_mlp._unit_rows)) == kept


@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (31, 5)])
def test_unit_rows_keep_the_layout_and_leave_rows_of_zeros(shape):
    torch.manual_seed(0)
    x = torch.randn(shape).relu()
    x[0] = 0
    before = x.clone()
    want = F.normalize(x, dim=1)
    assert torch.equal(unit_rows(x), want)
    sparse = unit_rows(x.to_sparse_csr())
    assert sparse.layout == torch.sparse_csr
    torch.testing.assert_close(sparse.to_dense(), want)
    assert torch.equal(x, before)


def test_the_features_are_left_as_they_were():
    x, index, _ = graph()
    before = x.clone(), index.clone()
    PropagatedMLP(5, 3)(x, index).sum().backward()
    assert torch.equal(x, before[0])
    assert torch.equal(index, before[1])


@pytest.mark.parametrize("shape", [(7, 4), (7,), (7, 5, 1)])
def test_features_of_another_width_are_named(shape):
    with pytest.raises(InputError, match="made for 5 features a node; got x of shape") as error:
        PropagatedMLP(5, 3)(torch.ones(shape), torch.zeros(2, 0, dtype=torch.int64))
    assert str(tuple(shape)) in str(error.value)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("in_features", {"in_features": 0}),
        ("out_features", {"out_features": 0}),
        ("hidden", {"hidden": 0}),
        ("hops", {"hops": -1}),
    ],
)
def test_widths_and_hops_out_of_range_are_named(name, options):
    with pytest.raises(InputError, match=rf"{name} must be >= {0 if name == 'hops' else 1}; got {options[name]}"):
        PropagatedMLP(**{"in_features": 5, "out_features": 3, **options})


def test_an_edge_to_a_node_that_is_not_there_is_refused():
    with pytest.raises(InputError):
        PropagatedMLP(5, 3)(torch.ones(7, 5), torch.tensor([[0], [7]]))


def test_the_perceptron_takes_rows_that_were_propagated_before():
    x, index, _ = graph()
    encoder = PropagatedMLP(5, 3, hidden=11)
    smooth = propagated_features(x, cached_adjacency(index, 7), 2)
    rows = torch.tensor([4, 0, 5])
    torch.testing.assert_close(encoder.perceptron(smooth[rows]), encoder(x, index)[rows])


def test_many_rows_are_embedded_in_parts_to_the_same_numbers_and_gradients(monkeypatch):
    x, index, _ = graph()
    encoder = PropagatedMLP(5, 3, hidden=11)

    def run():
        out = encoder(x, index)
        with torch.no_grad():
            torch.testing.assert_close(encoder(x, index), out)
        return out, torch.autograd.grad(out.square().sum(), encoder.parameters())

    whole = run()
    monkeypatch.setattr("graphcl.models.encoders.propagated_mlp.MANY", 6)
    monkeypatch.setattr("graphcl.models.encoders.propagated_mlp.PART", 2)
    most = []
    encoder.first.register_forward_hook(lambda module, inputs, out: most.append(len(inputs[0])))
    torch.testing.assert_close(run(), whole)
    assert max(most) == 2
    assert len(most) == 3 * 4, "forward, without gradients, and again backwards"
