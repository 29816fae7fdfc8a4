from __future__ import annotations

import torch
from torch import nn

from graphcl.models import SYSTEMS
from graphcl.training import ClusteringSystem, HasEpochStart, HasFitEnd, HasMemoryEstimate


def test_a_module_without_hooks_has_none():
    assert not isinstance(nn.Linear(1, 1), HasEpochStart)
    assert not isinstance(nn.Linear(1, 1), HasFitEnd)
    assert not isinstance(nn.Linear(1, 1), HasMemoryEstimate)


def test_a_hook_is_recognised_by_its_name():
    class Hooked(nn.Module):
        def on_epoch_start(self, epoch, data): ...

        def on_fit_end(self, data): ...

    assert isinstance(Hooked(), HasEpochStart)
    assert isinstance(Hooked(), HasFitEnd)


def test_every_clustering_system_of_the_table_answers_what_the_loop_and_the_task_ask():
    for entry in SYSTEMS.values():
        if entry.task == "clustering":
            system = entry.load()(3, 2)
            assert isinstance(system, ClusteringSystem), entry.name
            assert system.assign(torch.zeros(1, 1)) is None, "no clusters before training"


def test_a_module_that_cannot_embed_is_no_clustering_system():
    assert not isinstance(nn.Linear(1, 1), ClusteringSystem)
