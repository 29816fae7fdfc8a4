from __future__ import annotations

import torch
from torch import nn

from graphcl.recsys.fitting import BestEpoch
from graphcl.recsys.fitting.rounds import Rounds, fit_rounds
from graphcl.training import TrainingConfig

PLAIN = {"seed": 3, "observers": (), "checkpoint": None, "title": None}


class Slope(nn.Module):
    """Learns the mean of some numbers."""

    def __init__(self, numbers: list[float]) -> None:
        super().__init__()
        self.numbers, self.mean = numbers, nn.Parameter(torch.rand(()))

    def training_step(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": (self.mean - batch).square().mean()}


class Numbers:
    """All numbers as one batch."""

    def __init__(self, system: Slope) -> None:
        self.numbers = torch.tensor(system.numbers)

    def batches(self, epoch: int):
        yield self.numbers


class Near(BestEpoch):
    """How near the mean is to 1."""

    metric = "nearness"

    def value(self) -> float:
        return float(1 / (1 + (self.system.mean.detach() - 1).abs()))


def rounds(watched: bool) -> Rounds[Slope]:
    def watch(system: Slope) -> Near:
        return Near(system, epochs=12, every=1, patience=3)

    return Rounds(lambda: Slope([2.0]), lambda: Slope([2.0, 4.0]), Numbers, watch if watched else None)


def config(epochs: int = 12) -> TrainingConfig:
    return TrainingConfig(epochs=epochs, lr=0.2, device="cpu")


def test_the_epoch_nearest_to_the_goal_is_kept_on_the_way_past_it():
    fitted = fit_rounds(rounds(True), config(), refit=False, **PLAIN)
    values = [row["valid nearness"] for row in fitted.history]
    assert fitted.best_epoch == max(range(len(values)), key=values.__getitem__)
    assert len(values) == fitted.best_epoch + 4
    assert float(1 / (1 + (fitted.system.mean.detach() - 1).abs())) == fitted.best_value


def test_a_refit_is_fresh_on_all_numbers_and_as_long():
    fitted = fit_rounds(rounds(True), config(), refit=True, **PLAIN)
    whole = Rounds(lambda: Slope([2.0, 4.0]), lambda: Slope([]), Numbers, None)
    alone = fit_rounds(whole, config(fitted.best_epoch + 1), refit=True, **PLAIN)
    assert fitted.refit
    assert fitted.system.numbers == [2.0, 4.0]
    assert torch.equal(fitted.system.mean, alone.system.mean)
    assert (alone.refit, alone.best_epoch) == (False, None)


def test_without_a_watch_the_last_epoch_speaks():
    fitted = fit_rounds(rounds(False), config(5), refit=True, **PLAIN)
    assert len(fitted.history) == 5
    assert not fitted.refit
