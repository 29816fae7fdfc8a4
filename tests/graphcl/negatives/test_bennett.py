import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphcl.negatives.bennett import cluster_spread, log_excess

F64 = torch.float64


def tensor(*values):
    return torch.tensor(values, dtype=F64)


@settings(max_examples=200, deadline=None)
@given(
    size=st.integers(1, 12),
    d=st.integers(1, 5),
    scale=st.floats(0.01, 20),
    width=st.floats(1e-4, 2),
    seed=st.integers(0, 2**16),
)
def test_no_cluster_lies_above_the_bound_nor_below_its_mean(size, d, scale, width, seed):
    generator = torch.Generator().manual_seed(seed)
    z = width * torch.randn(size, d, dtype=F64, generator=generator) ** 3  # skewed, with far outliers
    anchors = torch.randn(20, d, dtype=F64, generator=generator)
    mean = z.mean(0, keepdim=True)
    spread = cluster_spread(z, torch.tensor([size]), mean)
    gap = (scale * anchors @ z.T).logsumexp(1) - math.log(size) - scale * (anchors @ mean.T).squeeze(1)
    bound = log_excess(spread.share, scale * anchors.norm(dim=1) * spread.radius)
    assert (gap >= -1e-9).all()
    assert (gap <= torch.nn.functional.softplus(bound) + 1e-9).all()


def test_two_points_on_the_line_of_the_anchor_attain_it():
    # One member at distance 3 on one side, three at distance 1 on the other: largest value 3, variance 3.
    z = tensor(3, -1, -1, -1)[:, None]
    spread = cluster_spread(z, torch.tensor([4]), tensor(0)[:, None])
    torch.testing.assert_close(spread.radius, tensor(3))
    torch.testing.assert_close(spread.share, tensor(1 / 3))
    for scale in (0.1, 1.0, 5.0):
        want = math.log((math.exp(3 * scale) + 3 * math.exp(-scale)) / 4 - 1)
        assert log_excess(spread.share, scale * spread.radius).item() == pytest.approx(want, abs=1e-7)


def test_it_is_below_hoeffding_and_below_the_usual_form_of_bennett():
    share, reach = torch.linspace(0.01, 1, 40, dtype=F64)[:, None], torch.linspace(0.01, 25, 60, dtype=F64)
    bound = log_excess(share, reach).exp()
    assert (bound <= (reach**2 / 2).expm1() * (1 + 1e-9)).all()
    assert (bound <= share * (reach.expm1() - reach) * (1 + 1e-9)).all()
    assert (bound.diff(dim=0) >= 0).all()
    assert (bound.diff(dim=1) >= 0).all()


def test_small_arguments_keep_their_digits_and_large_ones_do_not_overflow():
    for reach in (1e-12, 1e-6, 1e-3):
        assert log_excess(tensor(0.3), tensor(reach)).item() == pytest.approx(math.log(0.3 * reach**2 / 2), abs=reach)
    assert log_excess(tensor(0.3), tensor(1e5)).item() == pytest.approx(1e5 + math.log(0.3 / 1.3))
    around = log_excess(tensor(0.3), tensor(30 * (1 - 1e-12), 30 * (1 + 1e-12)))
    assert 0 <= around.diff().item() < 1e-9
    series = log_excess(tensor(0.5), tensor(0.25 - 1e-9, 0.25 + 1e-9)).diff().item()
    assert 0 < series < 2e-8
    assert (log_excess(tensor(0, 0.5), tensor(1, 0)) == -math.inf).all()


@pytest.mark.parametrize("d", [1, 3, 40])
def test_the_spread_is_that_of_the_covariance_whichever_side_is_smaller(d):
    torch.manual_seed(0)
    sizes = torch.tensor([5, 1, 17])
    z = torch.randn(23, d)
    means = torch.stack([part.mean(0) for part in z.split(sizes.tolist())])
    spread = cluster_spread(z, sizes, means)
    for k, part in enumerate(z.double().split(sizes.tolist())):
        centred = part - means[k].double()
        radius = centred.norm(dim=1).max() if len(part) > 1 else torch.zeros((), dtype=F64)
        torch.testing.assert_close(spread.radius[k], radius)
        if len(part) > 1:
            largest = torch.linalg.eigvalsh(centred.T @ centred / len(part))[-1]
            torch.testing.assert_close(spread.share[k] * radius**2, largest)


def test_members_that_agree_have_no_spread():
    spread = cluster_spread(torch.ones(4, 3), torch.tensor([4]), torch.ones(1, 3))
    assert spread.radius.item() == 0
    assert spread.share.item() == 0
