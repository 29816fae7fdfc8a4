from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.kernels.ranks import Ranks
from graphcl.training import Trainer, TrainingConfig
from graphcl.training.distributed import RankTrainer, joined
from graphcl.training.distributed_steps import RankSteps, Share, ShareOfBatches, cut_rows

F64 = torch.float64


class Rows(NamedTuple):
    x: Tensor
    y: Tensor


class Source:
    """Shuffles eleven rows into batches of four: the last has three, and of two ranks one more than the other."""

    batch_size = 4

    def __init__(self):
        generator = torch.Generator().manual_seed(3)
        self.x = torch.randn(11, 3, dtype=F64, generator=generator)
        self.y = self.x.sum(1) + torch.randn(11, dtype=F64, generator=generator)

    def __len__(self):
        return -(-11 // self.batch_size)

    def batches(self, epoch):
        for some in torch.split(torch.randperm(11), self.batch_size):
            yield Rows(self.x[some], self.y[some])


class One(Source):
    """One row a batch: a rank is always left without."""

    batch_size = 1


class Line(nn.Module):
    """Least squares, a penalty that all ranks compute alike, noise that is drawn for all, and dropout where it is asked for."""

    def __init__(self, drop=0.0):
        super().__init__()
        self.line, self.drop, self.seen = nn.Linear(3, 1, dtype=F64), nn.Dropout(drop), []
        self.unused = nn.Parameter(torch.ones(2, dtype=F64))

    def on_epoch_start(self, epoch, data):
        self.seen.append(type(data).__name__)

    def training_step(self, batch):
        noise = torch.randn(3, dtype=F64) * 0.01
        fit = (self.line(self.drop(batch.x + noise)).squeeze(1) - batch.y).square().mean()
        size = self.line.weight.square().sum()
        return {"loss": fit + 0.1 * size, "fit": fit.detach(), "size": size.detach()}

    def on_fit_end(self, data):
        self.seen.append(type(data).__name__)


def train(source, ranks, *, drop=0.0, **more):
    torch.manual_seed(0)
    system, config = Line(drop), TrainingConfig(epochs=3, lr=0.1, device="cpu", clip_norm=1.0, **more)
    if ranks is None:
        state = Trainer(config).fit(system, source)
    else:
        steps = RankSteps(system, ranks, own_draws=drop > 0)
        state = RankTrainer(ranks, config).fit(steps, ShareOfBatches(source, ranks))
    return {"weights": system.state_dict(), "history": state.history, "seen": system.seen, "random": torch.rand(2)}


def together():
    found = {}
    with joined(torch.device("cpu")) as ranks:
        found["plain"] = train(Source(), ranks)
        found["one"] = train(One(), ranks)
        found["accumulate"] = train(Source(), ranks, accumulate=2)
        found["scheduled"] = train(Source(), ranks, schedule="cosine", warmup_epochs=1)
        found["drop"] = train(Source(), ranks, drop=0.5)
        try:
            batch = Rows(torch.zeros(0, 3, dtype=F64), torch.zeros(0, dtype=F64))
            RankSteps(Line(), ranks).training_step(Share(batch, 0.0))
        except InputError as error:
            found["empty"] = str(error)
    return found


@pytest.fixture(scope="module")
def found(on_ranks):
    return on_ranks(__file__, "together", 2)


@pytest.mark.parametrize(
    ("name", "source", "more"),
    [
        ("plain", Source, {}), ("one", One, {}), ("accumulate", Source, {"accumulate": 2}),
        ("scheduled", Source, {"schedule": "cosine", "warmup_epochs": 1}),
    ],
)  # fmt: skip
def test_ranks_do_what_one_process_does_with_the_same_batches(found, name, source, more):
    want = train(source(), None, **more)
    for one in found:
        torch.testing.assert_close(one[name]["weights"], want["weights"], rtol=1e-10, atol=1e-12)
        for mine, theirs in zip(one[name]["history"], want["history"], strict=True):
            assert mine == pytest.approx(theirs, rel=1e-10)
        assert torch.equal(one[name]["random"], want["random"])
        assert one[name]["seen"] == ["Source" if name != "one" else "One"] * 4


def test_a_batch_that_is_empty_everywhere_is_refused_everywhere(found):
    assert all("add up to more than 0; they are 0 in all: is the batch empty?" in one["empty"] for one in found)


def test_draws_of_its_own_leave_a_rank_in_step_with_the_others(found):
    a, b = (one["drop"] for one in found)
    assert all(torch.equal(a["weights"][name], b["weights"][name]) for name in a["weights"])
    assert torch.equal(a["random"], b["random"])
    assert a["history"] == b["history"]
    assert a["history"] != found[0]["plain"]["history"]


def test_a_batch_is_cut_by_rows_and_nobody_is_left_without():
    batch = Rows(torch.arange(6.0).view(3, 2), torch.arange(3))
    shares = [cut_rows(batch, Ranks(rank, 4)) for rank in range(4)]
    assert [share.weight for share in shares] == [1, 1, 1, 0]
    assert [share.batch.y.tolist() for share in shares] == [[0], [1], [2], [0]]
    assert all(isinstance(share.batch, Rows) for share in shares)
    pair = cut_rows((torch.zeros(4), torch.ones(4)), Ranks(1, 2)).batch
    assert [part.tolist() for part in pair] == [[0, 0], [1, 1]]


@pytest.mark.parametrize("batch", [torch.zeros(3), (torch.zeros(3), torch.zeros(2)), (torch.zeros(3), "users"), ()])
def test_what_has_no_rows_needs_a_cut_of_its_own(batch):
    with pytest.raises(InputError, match="cannot be cut by rows: tell ShareOfBatches how, by cut="):
        cut_rows(batch, Ranks(0, 2))


def test_another_cut_and_the_number_of_batches_come_through():
    def every_other(batch, ranks):
        return Share(batch.x[ranks.rank :: ranks.size], 1.0)

    torch.manual_seed(0)
    shares = ShareOfBatches(Source(), Ranks(1, 2), every_other)
    assert shares.steps == 3
    assert [len(share.batch) for share in shares.batches(0)] == [2, 2, 1]

    class Endless:
        def batches(self, epoch):
            return iter(())

    assert ShareOfBatches(Endless(), Ranks(0, 2)).steps == 0


def test_a_step_without_a_loss_is_refused():
    class Silent(Line):
        def training_step(self, batch):
            return {"fit": torch.zeros(())}

    with pytest.raises(InputError, match="must give a 'loss'; it gave fit"):
        RankSteps(Silent(), Ranks(0, 2)).training_step(None)
