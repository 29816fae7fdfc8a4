from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.recsys.systems.sequential import CatalogueCrossEntropy, GeneralisedBCE, named_objective, objectives


def draw(number, num_items, dim=5, dtype=torch.float64, scale=1.0):
    generator = torch.Generator().manual_seed(number)
    states = scale * torch.randn(number, dim, dtype=dtype, generator=generator)
    items = torch.randn(num_items, dim, dtype=dtype, generator=generator)
    target = torch.randint(num_items, (number,), generator=generator)
    return states.requires_grad_(), items.requires_grad_(), target


@pytest.mark.parametrize(("number", "num_items"), [(1, 2), (7, 3), (32, 17), (101, 23), (97, 64)])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 300.0])
def test_cross_entropy_and_its_gradients_are_those_of_the_logits(number, num_items, scale, monkeypatch):
    monkeypatch.setattr(objectives, "FEWEST", 3)  # of states at a time, so that there are several blocks and a short last one
    monkeypatch.setattr(objectives, "BYTES", 0)
    states, items, target = draw(number, num_items, scale=scale)
    want = F.cross_entropy(states @ items.T, target)
    found = CatalogueCrossEntropy()(states, items, target)
    torch.testing.assert_close(found, want)
    for one, other in zip(
        torch.autograd.grad(3 * found, [states, items]), torch.autograd.grad(3 * want, [states, items]), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_single_precision_is_as_good_as_the_logits_are():
    states, items, target = draw(200, 1000, dim=16, scale=3.0)
    want = F.cross_entropy(states @ items.T, target)
    single = [part.detach().float().requires_grad_() for part in (states, items)]
    found = CatalogueCrossEntropy()(*single, target)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), want, rtol=1e-6, atol=0)
    for one, other in zip(torch.autograd.grad(found, single), torch.autograd.grad(want, [states, items]), strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-7)


def test_half_precision_is_computed_in_single():
    states, items, target = draw(20, 30)
    half = [part.detach().bfloat16().requires_grad_() for part in (states, items)]
    loss = CatalogueCrossEntropy()(*half, target)
    want = F.cross_entropy(half[0].float() @ half[1].float().T, target)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, want)
    assert torch.autograd.grad(loss, half[0])[0].dtype == torch.bfloat16


def test_logits_too_large_for_their_exponential_give_a_finite_loss():
    states = torch.tensor([[1e4, 0.0], [0.0, -1e4]], requires_grad=True)
    items = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], requires_grad=True)
    loss = CatalogueCrossEntropy()(states, items, torch.tensor([1, 0]))
    torch.testing.assert_close(loss, F.cross_entropy(states @ items.T, torch.tensor([1, 0])))
    assert all(torch.isfinite(part).all() for part in torch.autograd.grad(loss, [states, items]))


def test_items_of_equal_rows_share_the_choice():
    items = torch.ones(7, 3, dtype=torch.float64, requires_grad=True)
    loss = CatalogueCrossEntropy()(torch.randn(4, 3, dtype=torch.float64), items, torch.tensor([0, 1, 2, 6]))
    torch.testing.assert_close(loss, torch.tensor(math.log(7), dtype=torch.float64))


def test_a_side_without_gradients_gets_none():
    states, items, target = draw(6, 9)
    want = F.cross_entropy(states @ items.T, target)
    (only,) = torch.autograd.grad(CatalogueCrossEntropy()(states, items.detach(), target), states)
    torch.testing.assert_close(only, torch.autograd.grad(want, states, retain_graph=True)[0])
    (only,) = torch.autograd.grad(CatalogueCrossEntropy()(states.detach(), items, target), items)
    torch.testing.assert_close(only, torch.autograd.grad(want, items)[0])
    assert not CatalogueCrossEntropy()(states.detach(), items.detach(), target).requires_grad
    with torch.no_grad():
        torch.testing.assert_close(CatalogueCrossEntropy()(states, items, target), want)


def test_cross_entropy_has_correct_slopes():
    states, items, target = draw(3, 4, dim=2)
    assert torch.autograd.gradcheck(CatalogueCrossEntropy(), (states, items, target))


@pytest.mark.parametrize(("calibration", "beta"), [(0.0, 1.0), (0.75, 0.30622), (1.0, 0.07496)])
def test_beta_has_its_worked_values(calibration, beta):
    assert GeneralisedBCE(256, calibration).beta(3416) == pytest.approx(beta, abs=5e-6)


def reference(states, items, target, drawn, beta):
    """The transformation of logits in the official code."""
    eps = 1e-10
    positive = (states * items[target]).sum(1, keepdim=True).double()
    powered = torch.sigmoid(positive).clamp(eps, 1 - eps).pow(-beta).clamp(1 + eps, torch.finfo(torch.float64).max)
    positive = (1 / (powered - 1)).clamp(eps, torch.finfo(torch.float64).max).log()
    logits = torch.cat([positive, torch.einsum("pd,pkd->pk", states, items[drawn]).double()], 1)
    truth = torch.zeros_like(logits)
    truth[:, 0] = 1
    return F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(1).mean()


@pytest.mark.parametrize("calibration", [0.0, 0.3, 0.75, 1.0])
@pytest.mark.parametrize("size", [0, 2**22])
def test_calibrated_bce_is_the_transformation_of_the_official_code(calibration, size, monkeypatch):
    monkeypatch.setattr(objectives, "BYTES", size)
    states, items, target = draw(37, 60)
    loss = GeneralisedBCE(9, calibration)
    drawn = torch.randint(60, (37, 9), generator=torch.Generator().manual_seed(1))
    assert bool((states @ items.T).abs().max() < 20)
    beta = loss.beta(60)
    found, want = loss.of_draws(states, items, target, drawn, beta), reference(states, items, target, drawn, beta)
    torch.testing.assert_close(found, want, rtol=1e-6, atol=1e-6)
    for one, other in zip(torch.autograd.grad(found, [states, items]), torch.autograd.grad(want, [states, items]), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_draws_are_uniform_over_the_items_beside_the_target(monkeypatch):
    states, items, _ = draw(4000, 6)
    target = torch.arange(4000) % 6
    loss = GeneralisedBCE(5, 0.0)
    seen = []
    monkeypatch.setattr(loss, "of_draws", lambda *given: seen.append(given[3]))
    torch.manual_seed(0)
    loss(states, items, target)
    assert not (seen[0] == target[:, None]).any()
    counts = torch.bincount(((seen[0] - target[:, None]) % 6).flatten(), minlength=6)[1:]
    assert int(counts.min()) > 3700  # 4000 expected, deviation 57
    assert int(counts.max()) < 4300


def test_bce_is_minus_the_logs_of_one_positive_and_one_negative():
    states, items, target = draw(50, 2)
    found = named_objective("bce", torch.ones(2))(states, items, target)
    positive, negative = (states * items[target]).sum(1), (states * items[1 - target]).sum(1)
    torch.testing.assert_close(found, -(F.logsigmoid(positive) + F.logsigmoid(-negative)).mean())


@pytest.mark.parametrize("power", [0.0, 0.75])
def test_the_sum_over_corrected_draws_is_that_over_all_items_in_the_mean(power):
    states, items, target = draw(8, 12)
    counts = torch.arange(1, 13)
    loss = named_objective("sampled", counts, num_negatives=20_000, popularity_power=power)
    torch.manual_seed(0)
    torch.testing.assert_close(loss(states, items, target), F.cross_entropy(states @ items.T, target), rtol=2e-2, atol=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: named_objective("bpr", torch.ones(3)), "objective"),
        (lambda: named_objective("sampled", torch.ones(3), popularity_power=-1.0), "popularity_power must be 0"),
        (lambda: GeneralisedBCE(0), "num_negatives must be 1 or more; got 0"),
        (lambda: GeneralisedBCE(1, 1.5), r"calibration must be in \[0, 1\]; got 1.5"),
        (lambda: GeneralisedBCE(3).beta(3), "at most the 2 items beside the target; got 3"),
    ],
)
def test_settings_out_of_range_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize("loss", [CatalogueCrossEntropy(), GeneralisedBCE(1)])
@pytest.mark.parametrize(
    ("states", "items", "target", "message"),
    [
        (torch.zeros(3, 4), torch.zeros(5, 2), torch.zeros(3, dtype=torch.int64), "must share D"),
        (torch.zeros(0, 4), torch.zeros(5, 4), torch.zeros(0, dtype=torch.int64), "there must be a state"),
        (torch.zeros(3, 4), torch.zeros(1, 4), torch.zeros(3, dtype=torch.int64), "at least 2 items"),
        (torch.zeros(3, 4), torch.zeros(5, 4), torch.zeros(2, dtype=torch.int64), r"must be \(3,\) int64"),
        (torch.zeros(3, 4), torch.zeros(5, 4), torch.zeros(3), r"must be \(3,\) int64"),
        (torch.zeros(3, 4), torch.zeros(5, 4), torch.full((3,), 5), r"0 \.\. 4; got 5 to 5"),
        (torch.zeros(3, 4), torch.zeros(5, 4), torch.full((3,), -100), r"got -100 to -100.*padding"),
    ],
)
def test_what_does_not_fit_is_refused(loss, states, items, target, message):
    with pytest.raises(InputError, match=message):
        loss(states, items, target)
