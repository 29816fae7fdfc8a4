import pytest
import torch

from graphcl.errors import InputError
from graphcl.losses import CCASSG
from graphcl.models.node.gbt import GBT


def standard(z):
    z = z.double()
    return (z - z.mean(0)) / z.std(0, unbiased=False)


@pytest.mark.parametrize("sparse", [False, True])
def test_a_step_is_the_papers_in_value_and_gradients(graph, drawn, encoded, same_step, sparse):
    data = graph(sparse=sparse)
    torch.manual_seed(1)
    system = GBT(9, width=5, drop_edge=0.3, drop_feature=0.2)
    torch.manual_seed(2)
    terms = system.training_step(data)
    torch.manual_seed(2)
    z1, z2 = (standard(encoded(system.encoder, view)) for view in drawn(data, [(0.3, 0.2)] * 2))
    c = z1.T @ z2 / 23
    invariance = (1 - c.diagonal()).square().sum()
    redundancy = (c.square().sum() - c.diagonal().square().sum()) / 5
    same_step(system, terms["loss"], invariance + redundancy)
    torch.testing.assert_close(terms["invariance"].double(), invariance, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(terms["redundancy"].double(), redundancy, rtol=1e-4, atol=1e-5)


def test_equal_white_views_are_worth_nothing_and_a_flipped_column_changes_nothing():
    criterion = GBT(9, width=4).criterion
    z = torch.linalg.qr(torch.cat([torch.ones(30, 1), torch.randn(30, 4)], 1).double()).Q[:, 1:]
    assert float(criterion(z, z)) == pytest.approx(0, abs=1e-12)
    a, b = torch.randn(2, 30, 4).double()
    sign = torch.tensor([1.0, -1.0, 1.0, 1.0])
    torch.testing.assert_close(criterion(a * sign, b * sign), criterion(a, b))


def test_of_equal_views_the_second_term_is_that_of_cca_ssg():
    z = torch.randn(30, 5).double()
    redundancy = GBT(9, width=5).criterion.terms(z, z)["redundancy"]
    torch.testing.assert_close(5 * redundancy, CCASSG(0.5).terms(z, z)["decorrelation"])


def test_hidden_layers_are_twice_as_wide_and_normalised_and_the_last_is_linear():
    encoder = GBT(9, width=5, layers=3).encoder
    assert [tuple(p.weights[0].shape) for p in encoder.products] == [(9, 10), (10, 10), (10, 5)]
    assert [norm.momentum for norm in encoder.norms] == [0.01, 0.01]
    assert len(encoder.activations) == 2


@pytest.mark.parametrize("options", [{}, {"encoder": "gin"}, {"row_normalise": True}])
def test_it_is_sound(graph, sound, options):
    sound(lambda: GBT(9, width=5, **options), graph(sparse=True, weighted=True))


def test_no_array_is_n_by_n(large, largest_array):
    assert largest_array(GBT(16, width=5), large()) < 20_000 * 1_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": -1}, "must be >= 1; got -"),
        ({"layers": 0}, "layers must be >= 1; got 0"),
        ({"drop_edge": 1.5}, r"drop_edge .*lies in 0 \.\. 1; got 1.5"),
        ({"drop_feature": -0.5}, r"drop_feature .*lies in 0 \.\. 1; got -0.5"),
        ({"encoder": "cnn"}, "unknown encoder 'cnn'"),
    ],
)
def test_hyper_parameters_out_of_range_are_named(options, message):
    with pytest.raises(InputError, match=message):
        GBT(9, **options)
