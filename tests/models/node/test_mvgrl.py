import math

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.data import Data
from torch_geometric.utils import to_dense_adj

from graphcl.errors import InputError
from graphcl.models.node.mvgrl import MVGRL


def views(system, x, data, kind):
    """Both convolutions in double precision, with a dense inverse or matrix exponential."""
    n, encoder = len(x), system.encoder
    weight = data.edge_weight if "edge_weight" in data else None
    a = to_dense_adj(data.edge_index, edge_attr=weight, max_num_nodes=n)[0].double().T + torch.eye(n).double()
    root = a.sum(1).rsqrt()
    a, eye = root[:, None] * a * root, torch.eye(n).double()
    s = 0.2 * torch.linalg.inv(eye - 0.8 * a) if kind == "ppr" else torch.linalg.matrix_exp(-2.0 * (eye - a))
    return [
        F.prelu(m @ x.double() @ w.double() + b.double(), act.weight.double())
        for m, w, b, act in zip((a, s), encoder.weights, encoder.biases, encoder.activations, strict=True)
    ]


@pytest.mark.parametrize("kind", ["ppr", "heat"])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_step_is_the_papers_in_value_and_gradients(graph, same_step, kind, sparse):
    data = graph(sparse=sparse, weighted=True)
    x = data.x.to_dense() if sparse else data.x
    torch.manual_seed(1)
    system = MVGRL(9, width=5, diffusion=kind, time=2.0, tolerance=1e-9)
    for parameter in system.parameters():
        torch.nn.init.normal_(parameter)
    torch.manual_seed(2)
    loss = system.training_step(data)["loss"]
    torch.manual_seed(2)
    order = torch.randperm(23)
    (h1, h2), (f1, f2) = views(system, x, data, kind), views(system, x[order], data, kind)
    s1, s2 = torch.sigmoid(h1.mean(0)), torch.sigmoid(h2.mean(0))
    m = system.discriminator.weight.double()
    scores = torch.cat([h2 @ m @ s1, h1 @ m @ s2, f2 @ m @ s1, f1 @ m @ s2]) + system.offset
    truth = torch.cat([torch.ones(46), torch.zeros(46)]).double()
    same_step(system, loss, F.binary_cross_entropy_with_logits(scores, truth))
    torch.testing.assert_close(system.embed(data).double(), (h1 + h2).detach(), rtol=1e-4, atol=1e-5)


def test_features_in_their_own_places_cannot_be_told_apart(graph):
    data, system = graph(), MVGRL(9, width=5)
    adjacency, products = system.encoder.prepare(data.x, data.edge_index, None)
    real, same = system.scores(adjacency, products, torch.arange(23))
    assert torch.equal(real, same)
    assert system.criterion(real, same).item() >= math.log(2)


def test_a_smaller_tolerance_moves_the_embedding_by_less(graph):
    data, systems = graph(), [MVGRL(9, width=5, tolerance=t) for t in (0.3, 0.03, 1e-6)]
    for system in systems[:2]:
        system.load_state_dict(systems[2].state_dict())
    coarse, fine, exact = (system.embed(data) for system in systems)
    assert 0 < (fine - exact).norm() < (coarse - exact).norm()


@pytest.mark.parametrize("options", [{}, {"diffusion": "heat", "row_normalise": True}])
def test_it_is_sound(graph, sound, options):
    sound(lambda: MVGRL(9, width=5, **options), graph(sparse=True, weighted=True))


def test_no_array_is_n_by_n(large, largest_array):
    assert largest_array(MVGRL(16, width=5), large()) < 20_000 * 1_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width must be >= 1; got 0"),
        ({"diffusion": "random"}, "unknown diffusion 'random'"),
        ({"alpha": 0.0}, r"alpha must lie in \(0, 1\]"),
        ({"tolerance": 1.0}, r"tolerance must lie in \(0, 1\)"),
    ],
)
def test_hyper_parameters_out_of_range_are_named(options, message):
    with pytest.raises(InputError, match=message):
        MVGRL(9, **options)


def test_graphs_it_cannot_use_are_refused(graph):
    with pytest.raises(InputError, match=r"made for 9 features a node; got x of shape \(23, 4\)"):
        MVGRL(9, width=5).training_step(graph(f=4))
    with pytest.raises(InputError, match="the graph has none: give it an x"):
        MVGRL(9, width=5).embed(Data(edge_index=torch.tensor([[0], [1]]), num_nodes=2))
