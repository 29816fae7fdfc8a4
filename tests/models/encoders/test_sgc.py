import pytest
import torch
from torch_geometric.nn import SGConv

from graphcl.errors import InputError
from graphcl.kernels import cached_adjacency
from graphcl.models.encoders.sgc import SGC

EDGES = torch.tensor([[0, 1, 1, 2, 3, 4], [1, 0, 2, 1, 4, 3]])
X = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)).relu()


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(("out", "hops"), [(3, 2), (9, 3), (4, 1)])
def test_it_is_pygs_in_value_and_gradients(sparse, out, hops):
    encoder, theirs = SGC(5, out, hops=hops), SGConv(5, out, K=hops)
    torch.nn.init.normal_(encoder.bias)
    columns = torch.tensor([1.0, 0, 1, 2, 1])
    weights = {"lin.weight": encoder.weight.T, "lin.bias": encoder.bias}
    weight = torch.rand(6)
    want = torch.func.functional_call(theirs, weights, (X * columns, EDGES, weight))
    z = encoder(X.to_sparse_csr() if sparse else X, EDGES, weight, columns=columns)
    torch.testing.assert_close(z, want)
    parameters = [encoder.weight, encoder.bias]
    for got, expected in zip(
        torch.autograd.grad(z.square().sum(), parameters), torch.autograd.grad(want.square().sum(), parameters), strict=True
    ):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_no_hops_are_a_linear_map_and_an_operator_is_the_graph():
    encoder = SGC(5, 3, hops=0)
    torch.testing.assert_close(encoder(X, EDGES), X @ encoder.weight)
    encoder = SGC(5, 3)
    assert torch.equal(encoder(X, cached_adjacency(EDGES, 7)), encoder(X, EDGES))
    assert encoder(X.bfloat16(), EDGES).dtype == torch.float32


def test_the_order_of_nodes_only_orders_the_rows():
    encoder, order = SGC(5, 3), torch.randperm(7)
    torch.testing.assert_close(encoder(X[order], order.argsort()[EDGES]), encoder(X, EDGES)[order])


def test_what_does_not_fit_is_refused():
    for sizes, message in (((0, 3), "in_features"), ((5, 0), "out_features")):
        with pytest.raises(InputError, match=f"{message} must be >= 1; got 0"):
            SGC(*sizes)
    with pytest.raises(InputError, match="hops must be >= 0; got -1"):
        SGC(5, 3, hops=-1)
    with pytest.raises(InputError, match=r"made for 5 features a node; got x of shape \(7, 4\)"):
        SGC(5, 3)(torch.ones(7, 4), EDGES)
    with pytest.raises(InputError, match="an operator has its weights already"):
        SGC(5, 3)(X, cached_adjacency(EDGES, 7), torch.ones(6))
