from __future__ import annotations

import math

import pytest
import torch

from graphcl.training.schedule import rate_factor


def test_nothing_asked_for_is_one_at_any_time():
    assert [rate_factor(time, 10) for time in (0, 3, 9.5, 10)] == [1.0] * 4


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_the_warm_up_is_a_line_from_zero_to_one(schedule):
    factors = [rate_factor(time, 20, warmup_epochs=4, schedule=schedule) for time in (0, 1, 2.5, 3, 4)]
    assert factors == pytest.approx([0, 0.25, 0.625, 0.75, 1.0], abs=0)


def test_after_the_warm_up_a_constant_rate_stays():
    assert {rate_factor(time, 20, warmup_epochs=4) for time in (4, 5, 19, 20, 30)} == {1.0}


def test_the_cosine_falls_from_one_through_a_half_to_zero():
    factors = [rate_factor(time, 24, warmup_epochs=4, schedule="cosine") for time in (4, 14, 24, 25)]
    assert factors == pytest.approx([1.0, 0.5, 0.0, 0.0], abs=1e-15)


def test_the_cosine_is_that_of_torch_epoch_by_epoch():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=17)
    for epoch in range(17):
        assert rate_factor(epoch, 17, schedule="cosine") == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("epochs", [1, 3, 5])
def test_a_training_that_is_no_longer_than_the_warm_up_stays_on_the_line(schedule, epochs):
    for epoch in range(epochs):
        assert rate_factor(epoch, epochs, warmup_epochs=5, schedule=schedule) == epoch / 5


def test_it_is_continuous_where_the_cosine_takes_over():
    before, after = (rate_factor(7 + step, 31, warmup_epochs=7, schedule="cosine") for step in (-1e-9, 1e-9))
    assert math.isclose(before, after, abs_tol=1e-8)
