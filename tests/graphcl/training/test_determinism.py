from __future__ import annotations

import random

import numpy as np
import pytest
import torch
import torch.utils.deterministic as settings

from graphcl.errors import InputError
from graphcl.training import deterministic, seed_everything


def draws():
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_the_same_seed_gives_the_same_draws_everywhere(seed):
    seed_everything(seed)
    first = draws()
    seed_everything(seed)
    assert draws() == first


def test_another_seed_gives_other_draws_everywhere():
    seed_everything(0)
    first = draws()
    seed_everything(1)
    assert all(a != b for a, b in zip(first, draws(), strict=True))


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_does_not_fit_is_refused(seed):
    with pytest.raises(InputError, match=f"a seed lies in 0 .. 4294967295; got {seed}"):
        seed_everything(seed)


def state():
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        settings.fill_uninitialized_memory,
    )


@pytest.fixture(params=[(False, False, True), (True, True, True), (True, False, False)])
def before(request):
    kept = state()
    enabled, warn_only, fill = request.param
    torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
    settings.fill_uninitialized_memory = fill
    yield request.param
    torch.use_deterministic_algorithms(kept[0], warn_only=kept[1])
    settings.fill_uninitialized_memory = kept[2]


@pytest.mark.parametrize("enabled", [True, False])
def test_the_block_runs_as_asked_and_the_settings_are_put_back(before, enabled):
    with deterministic(enabled):
        assert state() == (enabled, False, False)
    assert state() == before


def test_the_settings_are_put_back_after_an_exception(before):
    with pytest.raises(KeyError), deterministic():
        raise KeyError
    assert state() == before


def test_an_operation_without_a_deterministic_form_is_refused_inside_the_block():
    torch.ones(2).put_(torch.tensor([0]), torch.ones(1))
    with deterministic(), pytest.raises(RuntimeError, match="deterministic"):
        torch.ones(2).put_(torch.tensor([0]), torch.ones(1), accumulate=False)
