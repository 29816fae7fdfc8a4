import pytest
import torch
import torch.nn.functional as F
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv

from graphcl.augment import DropEdges, MaskFeatures
from graphcl.errors import InputError
from graphcl.kernels import cached_adjacency
from graphcl.models.encoders import GCN

layouts = pytest.mark.parametrize("sparse", [False, True])


def graph(n=11, f=5, *, weighted=False, sparse=False, dtype=torch.float32):
    """A ring with chords, the last two nodes isolated, node 0 without features."""
    torch.manual_seed(0)
    m = n - 2
    edges = torch.tensor([[i, (i + 1) % m] for i in range(m)] + [[0, 2]]).T
    weight = torch.rand(edges.size(1), dtype=dtype) + 0.1
    x = torch.randn(n, f, dtype=dtype).relu()
    x[0] = 0
    data = Data(x=x.to_sparse_csr() if sparse else x, edge_index=torch.cat([edges, edges.flip(0)], 1))
    data.edge_weight = torch.cat([weight, weight]) if weighted else None
    return data


class Reference(torch.nn.Module):
    """The same layers by PyG, with copied weights."""

    def __init__(self, encoder):
        super().__init__()
        self.convs = torch.nn.ModuleList(GCNConv(*weight.shape) for weight in encoder.weights)
        self.encoder = encoder
        with torch.no_grad():
            for conv, weight, bias in zip(self.convs, encoder.weights, encoder.biases, strict=True):
                conv.lin.weight.copy_(weight.T)
                conv.bias.copy_(bias)

    def forward(self, x, edge_index, edge_weight=None):
        for layer, conv in enumerate(self.convs):
            x = conv(x, edge_index, edge_weight)
            if layer < len(self.convs) - 1 or self.encoder.activate_last:
                x = self.encoder.activation(x)
        return x

    def gradients(self, loss):
        flat = [p for conv in self.convs for p in (conv.lin.weight, conv.bias)]
        grads = torch.autograd.grad(loss, flat)
        return [g.T for g in grads[0::2]], list(grads[1::2])


def random_biases(encoder):
    for bias in encoder.biases:
        torch.nn.init.normal_(bias)
    return encoder


@layouts
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("hidden", "out", "layers", "activation", "last"),
    [(8, 3, 2, "relu", True), (3, 9, 3, "prelu", True), (16, 4, 1, "rrelu", True), (2, 3, 2, "relu", False)],
)
def test_it_is_pygs_stack_in_value_and_gradients(sparse, weighted, hidden, out, layers, activation, last):
    data, plain = (graph(weighted=weighted, sparse=s) for s in (sparse, False))
    torch.manual_seed(1)
    encoder = GCN(5, out, hidden=hidden, layers=layers, activation=activation, activate_last=last)
    random_biases(encoder).eval()
    reference = Reference(encoder)
    z = encoder(data.x, data.edge_index, data.edge_weight)
    want = reference(plain.x, plain.edge_index, plain.edge_weight)
    torch.testing.assert_close(z, want, rtol=1e-4, atol=1e-5)
    cotangent = torch.randn_like(z)
    ours = torch.autograd.grad((z * cotangent).sum(), [*encoder.weights, *encoder.biases])
    weights, biases = reference.gradients((want * cotangent).sum())
    for got, expected in zip(ours, [*weights, *biases], strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@layouts
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_view_by_operator_and_mask_is_the_view_by_transform(sparse, symmetric, weighted):
    data = graph(31, sparse=sparse, weighted=weighted)

    def draw(seed):
        numbers = torch.Generator().manual_seed(seed)
        return DropEdges(0.4, symmetric=symmetric, generator=numbers), MaskFeatures(0.4, generator=numbers)

    torch.manual_seed(2)
    encoder = random_biases(GCN(5, 3, hidden=8))
    reference = Reference(encoder)
    for seed in range(4):
        edges, features = draw(seed)
        adjacency, columns = edges.adjacency(data), features.columns(data)
        z = encoder(data.x, adjacency, columns=columns)
        edges, features = draw(seed)
        view = features(edges(data))
        x = view.x.to_dense() if sparse else view.x
        torch.testing.assert_close(z, encoder(view.x, view.edge_index, view.edge_weight))
        torch.testing.assert_close(z, reference(x, view.edge_index, view.edge_weight), rtol=1e-4, atol=1e-5)
        ours = torch.autograd.grad(z.square().sum(), [*encoder.weights, *encoder.biases])
        weights, biases = reference.gradients(reference(x, view.edge_index, view.edge_weight).square().sum())
        for got, expected in zip(ours, [*weights, *biases], strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@layouts
def test_the_gradients_are_those_of_finite_differences(sparse):
    data = graph(5, 3, sparse=sparse, dtype=torch.float64)
    encoder = GCN(3, 2, hidden=4, activation="prelu").double()
    columns = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    names = [name for name, _ in encoder.named_parameters()]

    def run(*values):
        return torch.func.functional_call(
            encoder, dict(zip(names, values, strict=True)), (data.x, data.edge_index), {"columns": columns}
        )

    torch.manual_seed(3)
    assert torch.autograd.gradcheck(run, [torch.randn_like(p).requires_grad_() for p in encoder.parameters()])


def test_double_precision_stays_double():
    data = graph(dtype=torch.float64)
    assert GCN(5, 3).double()(data.x, data.edge_index).dtype == torch.float64


@layouts
@pytest.mark.parametrize("hidden", [2, 9])
def test_half_precision_products_stay_near_single_ones(sparse, hidden):
    data = graph(sparse=sparse)
    encoder = random_biases(GCN(5, 3, hidden=hidden))
    exact = encoder(data.x, data.edge_index)
    with torch.autocast("cpu", torch.bfloat16):
        half = encoder(data.x, data.edge_index)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, exact, rtol=0.05, atol=0.05)
    for got, expected in zip(
        *(torch.autograd.grad(z.square().sum(), list(encoder.parameters())) for z in (half, exact)), strict=True
    ):
        torch.testing.assert_close(got, expected, rtol=0.1, atol=0.1 * float(expected.abs().max()))
    if not sparse:
        torch.testing.assert_close(encoder(data.x.bfloat16(), data.edge_index), exact, rtol=0.05, atol=0.05)


def test_a_dense_input_gets_its_gradient_in_either_order():
    for hidden in (2, 9):
        data = graph()
        x = data.x.clone().requires_grad_()
        encoder = random_biases(GCN(5, 3, hidden=hidden))
        (ours,) = torch.autograd.grad(encoder(x, data.edge_index).square().sum(), x)
        (theirs,) = torch.autograd.grad(Reference(encoder)(x, data.edge_index).square().sum(), x)
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_an_isolated_node_sees_itself_alone():
    data = graph()
    encoder = random_biases(GCN(5, 3))
    alone = encoder(data.x[-1:], torch.zeros(2, 0, dtype=torch.long))
    torch.testing.assert_close(encoder(data.x, data.edge_index)[-1:], alone)


def test_the_order_of_nodes_only_orders_the_rows():
    data = graph()
    order = torch.randperm(11)
    encoder = GCN(5, 3)
    torch.testing.assert_close(
        encoder(data.x[order], order.argsort()[data.edge_index]), encoder(data.x, data.edge_index)[order]
    )


@pytest.mark.parametrize(("activation", "slope"), [("relu", 0.0), ("prelu", 0.25), ("rrelu", (1 / 8 + 1 / 3) / 2)])
def test_the_activation_follows_both_layers(activation, slope):
    data = graph()
    encoder = GCN(5, 3, hidden=4, activation=activation).eval()
    a = cached_adjacency(data.edge_index, 11).to_dense()
    hidden = F.leaky_relu(a @ data.x @ encoder.weights[0], slope)
    torch.testing.assert_close(encoder(data.x, data.edge_index), F.leaky_relu(a @ hidden @ encoder.weights[1], slope))


def test_prelu_has_one_slope_and_rrelu_is_random_in_training_only():
    assert sum(p.numel() for p in GCN(5, 3, hidden=4, activation="prelu").parameters()) == 5 * 4 + 4 + 4 * 3 + 3 + 1
    data = graph()
    encoder = GCN(5, 3, activation="rrelu")
    assert not torch.equal(encoder(data.x, data.edge_index), encoder(data.x, data.edge_index))
    torch.manual_seed(0)
    first = encoder(data.x, data.edge_index)
    torch.manual_seed(0)
    assert torch.equal(first, encoder(data.x, data.edge_index))
    encoder.eval()
    assert torch.equal(encoder(data.x, data.edge_index), encoder(data.x, data.edge_index))


def test_it_starts_as_pygs_layers_do():
    torch.manual_seed(0)
    encoder, conv = GCN(300, 200, layers=1), GCNConv(300, 200)
    bound = (6 / 500) ** 0.5
    for weight in (encoder.weights[0], conv.lin.weight):
        assert 0.99 * bound < float(weight.detach().abs().max()) <= bound
    assert not encoder.biases[0].any()


@pytest.mark.parametrize("name", ["in_features", "out_features", "hidden", "layers"])
def test_sizes_out_of_range_are_named(name):
    sizes = {"in_features": 5, "out_features": 3, name: 0}
    with pytest.raises(InputError, match=f"{name} must be >= 1; got 0"):
        GCN(**sizes)


def test_an_unknown_activation_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="unknown activation 'rellu'; did you mean relu"):
        GCN(5, 3, activation="rellu")


def test_what_does_not_go_together_is_refused():
    data, encoder = graph(weighted=True), GCN(5, 3)
    with pytest.raises(InputError, match=r"made for 5 features a node; got x of shape \(11, 4\)"):
        encoder(torch.ones(11, 4), data.edge_index)
    with pytest.raises(InputError, match=r"columns must be \(5,\), one a feature; got \(4,\)"):
        encoder(data.x, data.edge_index, columns=torch.ones(4))
    with pytest.raises(InputError, match="an operator has its weights already"):
        encoder(data.x, cached_adjacency(data.edge_index, 11), data.edge_weight)
    with pytest.raises(InputError, match="N = 11 nodes"):
        encoder(torch.ones(9, 5), cached_adjacency(data.edge_index, 11))
