import math

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv

from graphcl.errors import InputError
from graphcl.models.node.dgi import DGI


def by_pyg(system, x, data):
    """The encoder by PyG with the system's weights."""
    encoder = system.encoder
    conv = GCNConv(*encoder.weight.shape)
    weights = {"lin.weight": encoder.weight.T, "bias": encoder.bias}
    weight = data.edge_weight if "edge_weight" in data else None
    return encoder.activation(torch.func.functional_call(conv, weights, (x, data.edge_index, weight)))


def by_formula(system, data, order):
    x = data.x if data.x.layout == torch.strided else data.x.to_dense()
    real, fake = by_pyg(system, x, data).double(), by_pyg(system, x[order], data).double()
    s = torch.sigmoid(real.mean(0))
    m = system.discriminator.weight.double()
    scores = torch.cat([h @ m @ s + system.offset for h in (real, fake)])
    truth = torch.cat([torch.ones(len(x)), torch.zeros(len(x))]).double()
    return F.binary_cross_entropy_with_logits(scores, truth)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_step_is_the_papers_in_value_and_gradients(graph, same_step, sparse, weighted):
    data = graph(sparse=sparse, weighted=weighted)
    torch.manual_seed(1)
    system = DGI(9, width=5)
    for parameter in system.parameters():
        torch.nn.init.normal_(parameter)
    torch.manual_seed(2)
    loss = system.training_step(data)["loss"]
    torch.manual_seed(2)
    same_step(system, loss, by_formula(system, data, torch.randperm(23)))
    x = data.x.to_dense() if sparse else data.x
    torch.testing.assert_close(system.embed(data), by_pyg(system, x, data).detach(), rtol=1e-4, atol=1e-5)


def test_features_in_their_own_places_cannot_be_told_apart(graph):
    data, system = graph(), DGI(9, width=5)
    for _ in range(5):
        torch.nn.init.normal_(system.discriminator.weight)
        adj, product = system.encoder.prepare(data.x, data.edge_index, None)
        real, same = system.scores(adj, product, torch.arange(23))
        assert torch.equal(real, same)
        assert float(system.criterion(real, same)) >= math.log(2)


def test_scores_are_linear_in_the_discriminator(graph):
    data, system = graph(), DGI(9, width=5)
    adj, product = system.encoder.prepare(data.x, data.edge_index, None)
    first = torch.cat(system.scores(adj, product, torch.arange(22, -1, -1)))
    with torch.no_grad():
        system.discriminator.weight *= 3
    torch.testing.assert_close(torch.cat(system.scores(adj, product, torch.arange(22, -1, -1))), 3 * first)


def test_rows_that_are_divided_by_their_sums_are_other_features(graph):
    data, system = graph(), DGI(9, width=5, row_normalise=True)
    scaled = Data(x=data.x / data.x.sum(1, keepdim=True), edge_index=data.edge_index)
    other = DGI(9, width=5)
    other.load_state_dict(system.state_dict())
    torch.testing.assert_close(system.embed(data), other.embed(scaled))
    losses = []
    for each, view in ((system, data), (other, scaled)):
        torch.manual_seed(0)
        losses.append(each.training_step(view)["loss"])
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize("options", [{}, {"row_normalise": True}])
def test_it_is_sound(graph, sound, options):
    sound(lambda: DGI(9, width=5, **options), graph(sparse=True, weighted=True))


def test_no_array_is_n_by_n(large, largest_array):
    assert largest_array(DGI(16, width=5), large()) < 20_000 * 1_000


def test_what_is_out_of_range_is_refused(graph):
    with pytest.raises(InputError, match="width must be >= 1; got 0"):
        DGI(9, width=0)
    with pytest.raises(InputError, match="in_features must be >= 1; got 0"):
        DGI(0)
    with pytest.raises(InputError, match=r"made for 9 features a node; got x of shape \(23, 4\)"):
        DGI(9).training_step(graph(f=4))
    with pytest.raises(InputError, match="the graph has none: give it an x"):
        DGI(9).embed(Data(edge_index=torch.tensor([[0], [1]]), num_nodes=2))
