import pytest
import torch
import torch.nn.functional as F
from torch_geometric.data import Data

from graphcl.augment.communities import community_edge_drop, community_feature_mask, find_communities
from graphcl.errors import InputError
from graphcl.models.node import GRACE
from graphcl.models.node.csgcl import CSGCL, TeamUp
from graphcl.models.node.pot import POT
from graphcl.negatives import community_strength

SMALL = {"hidden": 6, "projection": 7}


def by_formula(h1, h2, t, strength, gamma):
    """Whole matrices in double precision, with the strengths of both sides added to every similarity, as in the paper."""
    u1, u2, s = F.normalize(h1.double()), F.normalize(h2.double()), strength.double()
    both = gamma * (s[:, None] + s)
    between, first, second = (torch.exp((u @ v.T + both) / t) for u, v in ((u1, u2), (u1, u1), (u2, u2)))
    there = between.sum(1) + first.sum(1) - first.diagonal()
    back = between.sum(0) + second.sum(1) - second.diagonal()
    return ((there / between.diagonal()).log().mean() + (back / between.diagonal()).log().mean()) / 2


@pytest.mark.parametrize("sparse", [False, True])
def test_a_step_is_the_papers_in_value_and_gradients(graph, drawn, encoded, same_step, sparse):
    data = graph(sparse=sparse)
    torch.manual_seed(1)
    system = CSGCL(9, **SMALL, temperature=0.5, team_up=2.0, team_up_start=10)
    system.on_epoch_start(130, data)
    torch.manual_seed(2)
    loss = system.training_step(data)["loss"]
    found = find_communities(data.edge_index, 23)
    strength = community_strength(data.edge_index, found)
    rates = [
        (community_edge_drop(strength, found, data.edge_index, e), community_feature_mask(strength, data.x, f))
        for e, f in ((0.2, 0.1), (0.7, 0.2))
    ]
    torch.manual_seed(2)
    h1, h2 = (system.projector(encoded(system.encoder, view)) for view in drawn(data, rates))
    same_step(system, loss, by_formula(h1, h2, 0.5, strength, 1.2))


def test_in_one_community_it_is_grace_on_the_same_seed():
    n = 8
    near = ~torch.eye(n, dtype=torch.bool)
    data = Data(x=torch.rand(n, 5) + 0.1, edge_index=near.nonzero().T)
    losses = []
    rates = {"drop_edge_1": 0.2, "drop_edge_2": 0.5, "drop_feature_1": 0.1, "drop_feature_2": 0.3, "temperature": 0.6}
    for make in (GRACE, CSGCL):
        torch.manual_seed(0)
        system = make(5, **SMALL, **rates, activation="prelu")
        system.on_epoch_start(0, data)
        torch.manual_seed(1)
        losses.append(system.training_step(data)["loss"])
    assert torch.equal(*losses)


def test_equal_strengths_change_nothing_however_they_count():
    torch.manual_seed(0)
    z1, z2, contrast = torch.randn(9, 4), torch.randn(9, 4), TeamUp(0.4)
    plain = contrast(z1, z2)
    for gamma in (0.5, 10.0):
        contrast.bias = torch.full((9,), gamma)
        torch.testing.assert_close(contrast(z1, z2), plain)
    contrast.bias = torch.linspace(0, 1, 9)
    assert (contrast(z1, z2) - plain).abs() > 0.01


@pytest.mark.parametrize(("epoch", "want"), [(0, 0.0), (1000, 0.0), (1050, 0.5), (1100, 1.0), (1300, 2.0), (1999, 2.0)])
def test_the_factor_rises_by_a_hundredth_an_epoch_up_to_its_end(graph, epoch, want):
    data, system = graph(), CSGCL(9, **SMALL, team_up=2.0, team_up_start=1000)
    system.on_epoch_start(epoch, data)
    strength = community_strength(data.edge_index, find_communities(data.edge_index, 23))
    bias = torch.zeros(23) if system.contrast.bias is None else system.contrast.bias
    torch.testing.assert_close(bias, want * strength)


@pytest.mark.parametrize("options", [{}, {"team_up_start": 1}, {"encoder": "sage", "row_normalise": True}])
def test_it_is_sound(graph, sound, options):
    sound(lambda: CSGCL(9, **SMALL, **options), graph(sparse=True, weighted=True))


def test_provable_training_may_be_put_on_it(graph, sound):
    sound(lambda: POT(CSGCL(9, **SMALL, team_up_start=1)), graph())


def test_a_graph_without_edges_trains():
    data = Data(x=torch.rand(5, 9), edge_index=torch.zeros(2, 0, dtype=torch.long))
    system = CSGCL(9, **SMALL, team_up_start=0)
    system.on_epoch_start(50, data)
    assert system.training_step(data)["loss"].isfinite()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": 0}, "hidden must be >= 1; got 0"),
        ({"drop_edge_1": 1.5}, r"drop_edge_1 .*lies in 0 \.\. 1; got 1.5"),
        ({"detector": "infomap"}, "unknown method 'infomap'"),
        ({"team_up": -1.0}, "team_up must be >= 0; got -1"),
        ({"team_up_start": -1}, "team_up_start must be >= 0; got -1"),
        ({"temperature": 0.0}, "temperature must be > 0"),
        ({"encoder": "cnn"}, "unknown encoder 'cnn'"),
    ],
)
def test_hyper_parameters_out_of_range_are_named(options, message):
    with pytest.raises(InputError, match=message):
        CSGCL(9, **options)
