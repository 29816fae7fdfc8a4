import pytest
import torch

from graphcl.errors import InputError
from graphcl.models.node.cca_ssg import CCASSG
from graphcl.models.node.ssge import SSGE

SMALL = {"width": 5, "hidden": 7}


def standard(z):
    z = z.double()
    return (z - z.mean(0)) / z.std(0)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_step_is_the_papers_in_value_and_gradients(graph, drawn, encoded, same_step, sparse, layers):
    data = graph(sparse=sparse, weighted=True)
    torch.manual_seed(1)
    system = CCASSG(9, **SMALL, layers=layers, drop_edge=0.3, drop_feature=0.2, decorrelation=0.1)
    torch.manual_seed(2)
    terms = system.training_step(data)
    torch.manual_seed(2)
    z1, z2 = (standard(encoded(system.encoder, view)) for view in drawn(data, [(0.3, 0.2)] * 2))
    eye = torch.eye(5, dtype=torch.float64)
    invariance = -(z1 * z2).sum() / 23
    gaps = sum((z.T @ z / 23 - eye).square().sum() for z in (z1, z2))
    same_step(system, terms["loss"], invariance + 0.1 * gaps)
    torch.testing.assert_close(terms["invariance"].double(), invariance, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(terms["decorrelation"].double(), 0.1 * gaps, rtol=1e-5, atol=1e-5)


def test_white_and_equal_views_have_the_least_loss(graph):
    n, d = 23, 5
    system = CCASSG(9, **SMALL, decorrelation=0.5)
    z = torch.linalg.qr(torch.cat([torch.ones(n, 1), torch.randn(n, d)], 1).double()).Q[:, 1:]
    want = -d * (n - 1) / n + 2 * 0.5 * d / n**2
    assert float(system.criterion(z, z)) == pytest.approx(want)


def test_without_the_second_term_it_is_ssge(graph):
    data = graph()
    options = {"drop_edge": 0.3, "drop_feature": 0.2, "activation": "relu"}
    cca, ssge = CCASSG(9, **SMALL, **options, decorrelation=0.0), SSGE(9, **SMALL, **options, uniformity=0.0)
    ssge.load_state_dict(cca.state_dict())
    losses = []
    for system in (cca, ssge):
        torch.manual_seed(0)
        losses.append(system.training_step(data)["loss"])
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize("options", [{}, {"encoder": "mlp", "norm": True}, {"encoder": "gat", "row_normalise": True}])
def test_it_is_sound(graph, sound, options):
    sound(lambda: CCASSG(9, **SMALL, **options), graph(sparse=True, weighted=True))


def test_a_perceptron_does_not_look_at_the_graph(graph):
    data, system = graph(), CCASSG(9, **SMALL, encoder="mlp")
    z = system.embed(data)
    data.edge_index = data.edge_index[:, :2]
    assert torch.equal(system.embed(data), z)


def test_constant_columns_and_lost_edges_do_no_harm(graph):
    system = CCASSG(9, **SMALL, drop_edge=1.0, drop_feature=1.0)
    loss = system.training_step(graph())["loss"]
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in system.parameters())


def test_no_array_is_n_by_n(large, largest_array):
    assert largest_array(CCASSG(16, **SMALL), large()) < 20_000 * 1_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "out_features must be >= 1; got 0"),
        ({"hidden": 0}, "hidden must be >= 1; got 0"),
        ({"layers": 0}, "layers must be >= 1; got 0"),
        ({"drop_edge": 1.5}, r"drop_edge .*lies in 0 \.\. 1; got 1.5"),
        ({"drop_feature": -0.5}, r"drop_feature .*lies in 0 \.\. 1; got -0.5"),
        ({"decorrelation": -1.0}, "must be a finite number >= 0"),
        ({"activation": "swish"}, "unknown activation 'swish'"),
        ({"encoder": "cnn"}, "unknown encoder 'cnn'"),
    ],
)
def test_hyper_parameters_out_of_range_are_named(options, message):
    with pytest.raises(InputError, match=message):
        CCASSG(9, **options)
