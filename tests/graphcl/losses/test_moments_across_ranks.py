from __future__ import annotations

import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels.ranks import Ranks
from graphcl.losses import VICReg
from graphcl.losses.barlow_twins import BarlowTwins
from graphcl.losses.cca_ssg import CCASSG
from graphcl.losses.moments_across_ranks import moment_loss

F64 = torch.float64
LENGTHS = [1, 6, 4]  # the moments of a single row would be nothing on their own
LOSSES = {
    "cca-ssg": CCASSG(0.3), "unbiased": CCASSG(0.3, unbiased=True), "barlow-twins": BarlowTwins(0.2),
    "vicreg": VICReg(2.0, 3.0, 4.0),
}  # fmt: skip


def views():
    torch.manual_seed(0)
    z1, z2 = torch.randn(11, 5, dtype=F64) * 3 + 1e3, torch.randn(11, 5, dtype=F64) / 7
    z2[:, 3] = 4.0  # has collapsed
    return z1, z2


def moments():
    ranks, found = Ranks.of(), {}
    for name, loss in LOSSES.items():
        leaves = [torch.split(z, LENGTHS)[ranks.rank].clone().requires_grad_() for z in views()]
        value = moment_loss(loss, *leaves, ranks)
        found[name] = value.detach(), torch.autograd.grad(value, leaves)
    half = torch.randn(4, 2, generator=torch.Generator().manual_seed(ranks.rank)).half()
    found["half"] = moment_loss(LOSSES["cca-ssg"], half, half, ranks).dtype
    try:
        moment_loss(LOSSES["cca-ssg"], torch.ones(int(ranks.first), 2), torch.ones(int(ranks.first), 2), ranks)
    except InputError as error:
        found["one"] = str(error)
    return found


@pytest.fixture(scope="module")
def found(on_ranks):
    return on_ranks(__file__, "moments", 3)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_averaged_gradients_are_those_of_all_rows(found, name):
    leaves = [z.clone().requires_grad_() for z in views()]
    want = LOSSES[name](*leaves)
    for one in found:
        torch.testing.assert_close(one[name][0], want.detach(), rtol=1e-8, atol=1e-10)
    for at, gradient in enumerate(torch.autograd.grad(want, leaves)):
        got = torch.cat([one[name][1][at] for one in found]) / 3
        torch.testing.assert_close(got, gradient, rtol=1e-7, atol=1e-10)


def test_half_precision_is_computed_with_in_single(found):
    assert {one["half"] for one in found} == {torch.float32}


def test_one_row_in_all_is_too_few(found):
    assert all("at least 2 rows on all ranks together; got 1" in one["one"] for one in found)


def test_views_that_do_not_pair_are_refused():
    with pytest.raises(InputError, match=r"got \(3, 2\) and \(2, 2\)"):
        moment_loss(LOSSES["vicreg"], torch.zeros(3, 2), torch.zeros(2, 2), Ranks(0, 2))
