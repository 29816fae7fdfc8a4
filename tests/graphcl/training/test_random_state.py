from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from graphcl.training import seed_everything
from graphcl.training.random_state import random_state, set_random_state
from graphcl.training.tensor_file import read_tensor_file, write_tensor_file


def draws():
    return random.random(), random.gauss(0, 1), float(np.random.rand()), float(np.random.randn()), float(torch.randn(()))  # noqa: NPY002


@pytest.mark.parametrize("before", [0, 1, 7])
def test_after_it_is_put_back_every_generator_draws_what_it_drew(tmp_path, before):
    seed_everything(3)
    for _ in range(before):  # an odd number leaves the second of a pair of normal numbers waiting
        draws()
    write_tensor_file(tmp_path / "x", random_state(), {})
    want = [draws() for _ in range(3)]
    seed_everything(99)
    set_random_state(read_tensor_file(tmp_path / "x")[0])
    assert [draws() for _ in range(3)] == want


def test_looking_draws_nothing():
    seed_everything(3)
    want = draws()
    seed_everything(3)
    random_state()
    assert draws() == want


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_generator_of_the_device_is_put_back_too():
    seed_everything(0)
    state = random_state()
    want = torch.rand(3, device="cuda")
    seed_everything(1)
    set_random_state(state)
    assert torch.equal(torch.rand(3, device="cuda"), want)
