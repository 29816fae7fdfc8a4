import pytest
import torch
import torch.nn.functional as F
from torch_geometric.nn import GCNConv

from graphcl.errors import InputError
from graphcl.kernels import cached_adjacency
from graphcl.models.encoders import GCN
from graphcl.models.encoders.layered_gcn import LayeredGCN

EDGES = torch.tensor([[0, 1, 1, 2, 3, 4], [1, 0, 2, 1, 4, 3]])


def features(*, sparse=False, dtype=torch.float32):
    x = torch.randn(7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).relu().to(dtype)
    return x.to_sparse_csr() if sparse else x


def by_pyg(encoder, x, columns=None):
    """The layers of PyG and torch with the same weights."""
    x = x.to_dense() if x.layout != torch.strided else x
    x = x if columns is None else x * columns
    for layer, product in enumerate(encoder.products):
        (weight,), (bias,) = product.weights, product.biases
        conv = GCNConv(*weight.shape)
        x = torch.func.functional_call(conv, {"lin.weight": weight.T, "bias": bias}, (x, EDGES))
        if layer < len(encoder.activations):
            norm = encoder.norms[layer]
            if isinstance(norm, torch.nn.BatchNorm1d):
                x = F.batch_norm(x, None, None, norm.weight, norm.bias, training=True)
            x = encoder.activations[layer](x)
    return x


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    ("hidden", "layers", "activation", "norm", "last"),
    [(8, 2, "prelu", True, False), (3, 3, "elu", False, True), (4, 1, "relu", True, True), (6, 2, "elu", False, False)],
)
def test_it_is_pygs_stack_in_value_and_gradients(sparse, hidden, layers, activation, norm, last):
    torch.manual_seed(1)
    encoder = LayeredGCN(5, 4, hidden=hidden, layers=layers, activation=activation, norm=norm, activate_last=last)
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter)
    x, columns = features(sparse=sparse), torch.tensor([1.0, 0, 1, 1, 1])
    for mask in (None, columns):
        z, want = encoder(x, EDGES, columns=mask), by_pyg(encoder, x, mask)
        torch.testing.assert_close(z, want, rtol=1e-4, atol=1e-5)
        cotangent, parameters = torch.randn_like(z), list(encoder.parameters())
        ours, theirs = (torch.autograd.grad((out * cotangent).sum(), parameters) for out in (z, want))
        for got, expected in zip(ours, theirs, strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4)


def test_without_norm_it_is_a_gcn_of_the_same_seed():
    torch.manual_seed(0)
    layered = LayeredGCN(5, 4, hidden=6, layers=3, activation="relu", norm=False)
    torch.manual_seed(0)
    plain = GCN(5, 4, hidden=6, layers=3, activation="relu", activate_last=False)
    assert torch.equal(layered(features(), EDGES), plain(features(), EDGES))


def test_every_activation_has_parameters_of_its_own():
    encoder = LayeredGCN(5, 4, layers=3, activation="prelu", activate_last=True)
    assert len({id(a.weight) for a in encoder.activations}) == len(encoder.norms) == 3


@pytest.mark.parametrize("sparse", [False, True])
def test_without_graph_it_is_a_perceptron(sparse):
    encoder = LayeredGCN(5, 4, hidden=6, activation="relu", norm=False, graph=False)
    first, second = encoder.products
    x = features(sparse=sparse)
    want = torch.relu(features() @ first.weight + first.bias) @ second.weight + second.bias
    torch.testing.assert_close(encoder(x, EDGES), want)
    assert torch.equal(encoder(x, EDGES[:, :0]), encoder(x, EDGES))
    columns = torch.tensor([0.0, 1, 1, 0, 1])
    torch.testing.assert_close(encoder(x, EDGES, columns=columns), encoder(features() * columns, EDGES))


def test_an_operator_is_the_graph_and_evaluation_uses_running_statistics():
    encoder = LayeredGCN(5, 4, norm_momentum=1.0)
    x = features()
    z = encoder(x, EDGES)
    torch.testing.assert_close(encoder(x, cached_adjacency(EDGES, 7)), z)
    encoder.eval()
    scaled = encoder(x, EDGES)  # the unbiased variance is all that differs
    assert not torch.equal(scaled, z)
    torch.testing.assert_close(scaled[:3], encoder(x[:3], EDGES[:, :4]))


def test_the_order_of_nodes_only_orders_the_rows():
    encoder, order = LayeredGCN(5, 4, activate_last=True), torch.randperm(7)
    torch.testing.assert_close(
        encoder(features()[order], order.argsort()[EDGES]), encoder(features(), EDGES)[order], rtol=1e-4, atol=1e-5
    )


def test_what_is_out_of_range_is_named():
    for name in ("in_features", "out_features", "hidden", "layers"):
        for graph in (True, False):
            with pytest.raises(InputError, match="must be >= 1; got 0"):
                LayeredGCN(**{"in_features": 5, "out_features": 3, "graph": graph, name: 0})
    with pytest.raises(InputError, match="unknown activation 'elou'; did you mean elu"):
        LayeredGCN(5, 3, activation="elou")
    with pytest.raises(InputError, match="norm_momentum must lie in"):
        LayeredGCN(5, 3, norm_momentum=0.0)
    with pytest.raises(InputError, match="made for 5 features a node"):
        LayeredGCN(5, 3)(torch.ones(7, 4), EDGES)
    with pytest.raises(InputError, match=r"x must be \(N, F\)"):
        LayeredGCN(5, 3, graph=False)(torch.ones(7, 4), EDGES)
