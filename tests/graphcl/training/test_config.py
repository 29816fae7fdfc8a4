from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from graphcl.errors import InputError
from graphcl.training import TrainingConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs must be >= 1; got 0"),
        ({"epochs": -3}, "epochs must be >= 1; got -3"),
        ({"lr": 0}, "lr must be > 0; got 0"),
        ({"lr": math.nan}, "lr must be > 0; got nan"),
        ({"lr": math.inf}, "lr must be > 0; got inf"),
        ({"weight_decay": -0.1}, "weight_decay must be >= 0; got -0.1"),
        ({"weight_decay": math.nan}, "weight_decay must be >= 0; got nan"),
        ({"clip_norm": 0.0}, "clip_norm must be > 0, or left out; got 0.0"),
        ({"clip_norm": math.inf}, "clip_norm must be > 0, or left out; got inf"),
        ({"accumulate": 0}, "accumulate must be >= 1; got 0"),
        ({"precision": "fp8"}, "precision must be one of fp32, bf16, fp16; got 'fp8'"),
        ({"checkpoint_seconds": -1}, "checkpoint_seconds must be >= 0; got -1"),
        ({"checkpoint_seconds": math.nan}, "checkpoint_seconds must be >= 0; got nan"),
        ({"batch_nodes": 1}, "batch_nodes must be >= 2, the nodes of a step, or left out for the whole graph; got 1"),
        ({"optimizer": "sgd"}, "optimizer must be one of adam, adamw; got 'sgd'"),
        ({"warmup_epochs": -1}, "warmup_epochs must be >= 0; got -1"),
        ({"schedule": "linear"}, "schedule must be one of constant, cosine; got 'linear'"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(settings, message):
    with pytest.raises(InputError) as caught:
        TrainingConfig(**settings)
    assert str(caught.value) == message


def test_a_config_cannot_be_changed_after_its_check():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainingConfig().epochs = 0


def test_auto_is_cuda_where_there_is_one_and_cpu_elsewhere():
    want = "cuda" if torch.cuda.is_available() else "cpu"
    assert TrainingConfig(device="auto").torch_device() == torch.device(want)


def test_a_named_device_is_taken():
    assert TrainingConfig(device="cpu").torch_device() == torch.device("cpu")


@pytest.mark.parametrize("device", ["", "quark", "cuda:99", "cpu:x", "meta", "mps:7"])
def test_a_device_that_cannot_hold_data_here_is_refused_in_one_short_line_with_a_remedy(device):
    with pytest.raises(InputError, match="cannot be used here") as caught:
        TrainingConfig(device=device).torch_device()
    text = str(caught.value)
    assert f"'{device}'" in text
    assert text.endswith("try --device cpu")
    assert "\n" not in text
    assert len(text) < 300


def test_half_precision_with_a_scaled_loss_is_refused_off_cuda_with_a_remedy():
    with pytest.raises(InputError, match="precision fp16 needs a CUDA device, and this run is on cpu; use bf16 or fp32"):
        TrainingConfig(device="cpu", precision="fp16").torch_device()
    assert TrainingConfig(device="cpu", precision="bf16").torch_device() == torch.device("cpu")
