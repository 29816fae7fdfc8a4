import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.kernels import Adjacency
from graphcl.models.node import DGI, GCA, GRACE
from graphcl.models.node.pot import POT, PotGCA, PotGRACE, contrast_direction
from graphcl.models.node.pot_bounds import edge_bounds, edge_budget, relax, sampled_bound, worst_bound

SMALL = {"hidden": 6, "projection": 7}
RATES = {"drop_edge_1": 0.4, "drop_edge_2": 0.3, "drop_feature_1": 0.2, "drop_feature_2": 0.1, "temperature": 0.7}


@pytest.mark.parametrize(("base", "plugged"), [(GRACE, PotGRACE), (GCA, PotGCA)])
def test_without_a_share_it_is_the_system_bit_for_bit(graph, base, plugged):
    data, losses = graph(sparse=True), []
    torch.manual_seed(0)
    system = base(9, **SMALL, **RATES)
    torch.manual_seed(0)
    pot = plugged(9, **SMALL, **RATES, share=0.0)
    for each in (system, pot):
        torch.manual_seed(1)
        losses.append(each.training_step(data)["loss"])
    assert torch.equal(*losses)
    assert torch.equal(pot.embed(data), system.embed(data))


@pytest.mark.parametrize(("base", "plugged"), [(GRACE, PotGRACE), (GCA, PotGCA)])
def test_with_a_share_the_contrast_is_that_of_the_system(graph, base, plugged):
    data = graph(weighted=True)
    torch.manual_seed(0)
    system = base(9, **SMALL, **RATES, activation="prelu")
    torch.manual_seed(0)
    pot = plugged(9, **SMALL, **RATES, activation="prelu", share=0.25)
    torch.manual_seed(1)
    want = system.training_step(data)["loss"]
    torch.manual_seed(1)
    terms = pot.training_step(data)
    torch.testing.assert_close(terms["contrast"], want)
    torch.testing.assert_close(terms["loss"], 0.75 * want + 0.25 * terms["bound"])


@pytest.mark.parametrize("mode", ["sampled", "worst"])
def test_the_bounds_of_both_views_enter_as_logits_of_truth(graph, mode):
    data = graph()
    pot = PotGRACE(9, **SMALL, **RATES, mode=mode)
    torch.manual_seed(1)
    got = pot.training_step(data)["bound"]
    torch.manual_seed(1)
    system = pot.system
    drawn = [view.draw(data) for view in system.views]
    z = [F.normalize(view(system.encoder)) for view in drawn]
    losses = []
    for view, p, other in zip(drawn, (0.4, 0.3), z[::-1], strict=True):
        n = len(other)
        w = torch.stack([other[i] - (other.sum(0) - other[i]) / (n - 1) for i in range(n)])
        torch.testing.assert_close(contrast_direction(other), w)
        plain = Adjacency.from_edge_index(data.edge_index, n, normalize=None)
        bounds = edge_bounds(plain, edge_budget(plain, data.edge_index, p))
        product = (data.x if view.columns is None else data.x * view.columns) @ system.encoder.weights[0]
        relaxed = relax(system.encoder, bounds, product, w)
        first = view.adjacency.to_dense() @ product + system.encoder.biases[0]
        bound = (
            worst_bound(relaxed, bounds) if mode == "worst" else sampled_bound(system.encoder, relaxed, view.adjacency, first)
        )
        losses.append(F.binary_cross_entropy_with_logits(bound, torch.ones(n)))
    torch.testing.assert_close(got, sum(losses) / 2)


def test_training_raises_the_bounds_and_certifies_nodes(graph):
    data = graph(40, 30)
    data.edge_index = data.edge_index[:, data.edge_index.sum(0) % 3 == 0]
    torch.manual_seed(0)
    pot = PotGRACE(30, hidden=16, projection=8, drop_edge_1=0.1, drop_edge_2=0.1, share=1.0, mode="worst")
    optimizer = torch.optim.Adam(pot.parameters(), lr=0.01)
    before, losses = pot.certified(data), []
    for _ in range(80):
        optimizer.zero_grad()
        losses.append(pot.training_step(data)["bound"])
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]
    assert pot.certified(data) > before


@pytest.mark.parametrize(
    "make",
    [
        lambda: PotGRACE(9, **SMALL),
        lambda: PotGCA(9, **SMALL, activation="prelu", mode="worst", row_normalise=True),
        lambda: PotGRACE(9, **SMALL, loss="info-nce", negatives="meta-node"),
        lambda: POT(GRACE(9, **SMALL, symmetric_drop=True), share=0.1),
    ],
)
def test_it_is_sound(graph, sound, make):
    sound(make, graph(sparse=True, weighted=True))


def test_no_array_is_n_by_n(large, largest_array):
    pot = PotGRACE(16, hidden=8, projection=8, loss="info-nce", negatives="sampled")
    assert largest_array(pot, large()) < 20_000**2 / 4


def test_everything_may_be_dropped(graph):
    pot = PotGRACE(9, **SMALL, drop_edge_1=1.0, drop_edge_2=1.0, drop_feature_1=1.0)
    loss = pot.training_step(graph())["loss"]
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in pot.parameters())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PotGRACE(9, share=1.5), r"share .* lies in 0 \.\. 1; got 1.5"),
        (lambda: PotGCA(9, share=-0.1), r"share .* lies in 0 \.\. 1; got -0.1"),
        (lambda: PotGRACE(9, mode="best"), "unknown mode 'best'"),
        (lambda: PotGRACE(9, activation="rrelu"), "'relu' and 'prelu'"),
        (lambda: PotGCA(9, drop_edge_1=2.0), r"drop_edge_1 .* got 2"),
        (lambda: POT(GCA(9, encoder="sage")), "a GCN of two layers"),
        (lambda: POT(DGI(9)), "a GCN of two layers"),
    ],
)
def test_hyper_parameters_out_of_range_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()
