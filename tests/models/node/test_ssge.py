import pytest
import torch

from graphcl.errors import InputError
from graphcl.models.node.ssge import SSGE

SMALL = {"width": 5, "hidden": 7}


def standard(z):
    z = z.double()
    return (z - z.mean(0)) / z.std(0)


@pytest.mark.parametrize("sparse", [False, True])
def test_a_step_is_the_papers_in_value_and_gradients(graph, drawn, encoded, same_step, sparse):
    data = graph(sparse=sparse)
    torch.manual_seed(1)
    system = SSGE(9, **SMALL, drop_edge=0.3, drop_feature=0.2, uniformity=0.4)
    torch.manual_seed(2)
    terms = system.training_step(data)
    torch.manual_seed(2)
    z1, z2 = (standard(encoded(system.encoder, view)) for view in drawn(data, [(0.3, 0.2)] * 2))
    alignment = -(z1 * z2).sum() / 23
    # The trace of the root of Z'Z / (N - 1) is the sum of the singular values of Z / sqrt(N - 1).
    uniform = sum(-2 * torch.linalg.svdvals(z).sum() / 22**0.5 for z in (z1, z2)) / 2
    same_step(system, terms["loss"], alignment + 0.4 * uniform)
    torch.testing.assert_close(terms["alignment"].double(), alignment, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(terms["uniformity"].double(), 0.4 * uniform, rtol=1e-5, atol=1e-5)


def test_near_the_identity_the_second_term_is_that_of_cca_ssg():
    n, d = 400, 4
    z = torch.linalg.qr(torch.cat([torch.ones(n, 1), torch.randn(n, d)], 1).double()).Q[:, 1:] * (n - 1) ** 0.5
    mix = torch.eye(d, dtype=torch.float64)
    mix[0, 1] = mix[1, 0] = 0.01
    z = z @ torch.linalg.cholesky(mix).T  # covariance: ones, and 0.01 between the first two
    uniformity = SSGE(9, **SMALL, uniformity=1.0).criterion.terms(z, z)["uniformity"]
    off = 2 * 0.01**2
    assert float(uniformity) + 2 * d == pytest.approx(off / 4, rel=1e-2)


@pytest.mark.parametrize("options", [{}, {"encoder": "mlp", "norm": True}, {"encoder": "sgc", "row_normalise": True}])
def test_it_is_sound(graph, sound, options):
    sound(lambda: SSGE(9, **SMALL, **options), graph(sparse=True, weighted=True))


def test_constant_columns_and_lost_edges_do_no_harm(graph):
    system = SSGE(9, **SMALL, drop_edge=1.0, drop_feature=1.0)
    loss = system.training_step(graph())["loss"]
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in system.parameters())


def test_no_array_is_n_by_n(large, largest_array):
    assert largest_array(SSGE(16, **SMALL), large()) < 20_000 * 1_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "out_features must be >= 1; got 0"),
        ({"layers": 0}, "layers must be >= 1; got 0"),
        ({"drop_edge": 1.5}, r"drop_edge .*lies in 0 \.\. 1; got 1.5"),
        ({"drop_feature": -0.5}, r"drop_feature .*lies in 0 \.\. 1; got -0.5"),
        ({"uniformity": -1.0}, "must be a finite number >= 0"),
        ({"encoder": "cnn"}, "unknown encoder 'cnn'"),
    ],
)
def test_hyper_parameters_out_of_range_are_named(options, message):
    with pytest.raises(InputError, match=message):
        SSGE(9, **options)
