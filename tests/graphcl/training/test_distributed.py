from __future__ import annotations

import pytest
import torch
from torch import nn

from graphcl.errors import InputError
from graphcl.kernels.ranks import Ranks
from graphcl.training import TrainingConfig, distributed
from graphcl.training.distributed import RanksApartError, RankTrainer, active_ranks, average_gradients, joined
from graphcl.training.distributed_steps import RankSteps

CPU = torch.device("cpu")


class Point(nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.at = nn.Parameter(torch.randn(3))
        self.lost = False

    def training_step(self, batch):
        if self.lost:
            raise InputError("there is no way from here")
        return {"loss": (self.at * batch).sum()}


class Draw:
    """Draws a number too many on one rank, or loses the system, after the first epoch."""

    def __init__(self, rank, what, system):
        self.rank, self.what, self.system = rank, what, system

    def on_epoch_end(self, epoch, terms):
        if self.rank == 1 and epoch == 0:
            if self.what == "draw":
                torch.rand(1)
            elif self.what == "lose":
                self.system.lost = True


def fit(ranks, what, seed=0):
    system = Point(seed)
    config = TrainingConfig(epochs=3, device="cpu")
    RankTrainer(ranks, config, [Draw(ranks.rank, what, system)]).fit(RankSteps(system, ranks), torch.ones(3))


def ends(function):
    try:
        function()
    except (Exception, SystemExit) as error:
        return type(error).__name__, str(error)
    return "", ""


def failures():
    found, ranks = {}, Ranks.of()
    x, y, z, half = (nn.Parameter(torch.zeros(2, dtype=dtype)) for dtype in (torch.float32,) * 3 + (torch.float64,))
    x.grad = torch.full((2,), float(ranks.rank))
    half.grad = torch.full((2,), ranks.rank + 1.0, dtype=torch.float64)
    if ranks.rank:
        y.grad = torch.full((2,), 3.0)
    average_gradients([x, y, z, half], ranks)
    average_gradients([], ranks)
    found["gradients"] = [None if p.grad is None else p.grad.tolist() for p in (x, y, z, half)]
    distributed.GRACE = 0.0

    def inside():
        with joined(CPU) as here:
            assert here is active_ranks()
            with joined(CPU) as again:  # a run within a run
                assert again is here
            found["active"] = active_ranks().size
            found["weights"] = ends(lambda: fit(ranks, "weights", seed=ranks.rank))
            found["draws"] = ends(lambda: fit(ranks, "draw"))
            fit(ranks, "lose")

    found["lost"] = ends(inside)
    found["after"] = active_ranks()
    return found


@pytest.fixture(scope="module")
def found(on_ranks):
    return on_ranks(__file__, "failures", 2)


def test_gradients_are_means_and_what_nobody_has_stays_nothing(found):
    assert [one["gradients"] for one in found] == [[[0.5, 0.5], [1.5, 1.5], None, [1.5, 1.5]]] * 2


def test_ranks_that_start_from_other_weights_or_draw_other_numbers_are_told_so(found):
    assert [one["active"] for one in found] == [2, 2]
    for one in found:
        assert one["weights"][0] == one["draws"][0] == RanksApartError.__name__
        assert "before the first epoch the ranks have different weights" in one["weights"][1]
        assert "after epoch 1 the ranks have different random numbers" in one["draws"][1] or "epoch 0" in one["draws"][1]


def test_the_rank_that_fails_says_why_and_the_others_end_with_it(found):
    assert found[1]["lost"] == ("NonFiniteLossError", "rank 1: " + found[1]["lost"][1].removeprefix("rank 1: "))
    assert "there is no way from here" in found[1]["lost"][1]
    assert found[0]["lost"] == ("SystemExit", "1")
    assert [one["after"] for one in found] == [None, None]


def test_one_process_is_left_alone(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    with joined(CPU) as ranks:
        assert ranks is None is active_ranks()


def test_more_processes_than_devices_are_refused(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "9")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with (
        pytest.raises(InputError, match="9 processes on this machine and 2 CUDA devices"),
        joined(torch.device("cuda")),
    ):
        pass
    with pytest.raises(InputError, match="use --device cuda, not cuda:1"), joined(torch.device("cuda:1")):
        pass
