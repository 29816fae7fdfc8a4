from __future__ import annotations

import pytest
import torch
from killed import Killed
from torch import nn

from graphcl.errors import InputError
from graphcl.kernels.ranks import Ranks
from graphcl.training import Checkpoint, RunFolder, Stateful, Trainer, TrainingConfig
from graphcl.training import tensor_file as format_of

IDENTITY = {"configuration": "abc", "data": "def", "device": "cpu"}


class Memory:
    """An observer that sums up the losses it saw, and dies after an epoch if told to."""

    def __init__(self, dies_after=None):
        self.total, self.dies_after = 0.0, dies_after

    def on_epoch_end(self, epoch, terms):
        self.total += terms["loss"]
        terms["total"] = self.total
        if epoch == self.dies_after:
            raise Killed

    def state_dict(self):
        return {"total": self.total}

    def load_state_dict(self, state_dict):
        self.total = state_dict["total"]


@pytest.fixture
def path(tmp_path):
    """A run folder that says it is one."""
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "config.yaml").write_text("{}")
    (tmp_path / "r" / "checkpoints").mkdir()
    return tmp_path / "r"


@pytest.fixture
def run(make_system, points, path):
    """Trains in that folder, as if it had been reopened each time; without a folder when ``kept`` is false."""

    def train(
        epochs=8, *, dies_after=None, kept=True, seconds=0.0, identity=IDENTITY, say=lambda line: None, system=None, **more
    ):
        system, memory = system or make_system(), Memory(dies_after)
        torch.manual_seed(5)
        checkpoint = Checkpoint(RunFolder.reopen(path), "seed-0", seconds=seconds, identity=identity, say=say) if kept else None
        config = TrainingConfig(epochs=epochs, lr=0.05, device="cpu", **more)
        state = Trainer(config, [memory], checkpoint).fit(system, points)
        return system, state, memory

    return train


def kept(path):
    return sorted(entry.name.removeprefix("seed-0.").removesuffix(".safetensors") for entry in (path / "checkpoints").iterdir())


def killed(run, after, **more):
    with pytest.raises(Killed):
        run(dies_after=after, **more)


def assert_same(one, two):
    assert one[1].history == two[1].history
    assert (one[1].epoch, one[1].stopped, one[1].ended) == (two[1].epoch, two[1].stopped, two[1].ended)
    assert one[2].total == two[2].total
    for name, value in one[0].state_dict().items():
        assert torch.equal(value, two[0].state_dict()[name]), name


@pytest.mark.parametrize("more", [{}, {"clip_norm": 0.1}, {"accumulate": 3}, {"precision": "bf16", "weight_decay": 0.1}])
@pytest.mark.parametrize("places", [[0], [1], [7], [2, 2, 5]])
def test_a_run_that_was_killed_ends_with_the_same_bits(run, places, more):
    want = run(kept=False, **more)
    want_draw = torch.rand(3)
    for place in places:
        killed(run, place, **more)
    assert_same(run(**more), want)
    assert torch.equal(torch.rand(3), want_draw), "what is drawn after training is the same too"


def test_when_checkpoints_are_written_changes_nothing(run, path):
    want = run(kept=False)
    assert_same(run(seconds=1000.0), want)
    assert kept(path) == ["end"]


def test_the_last_two_are_kept_and_the_end_takes_their_place(run, path):
    killed(run, 6)
    assert kept(path) == ["00000005", "00000006"]
    run()
    assert kept(path) == ["end"]


def test_between_two_checkpoints_lies_the_time_that_was_asked_for(run, path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("graphcl.training.checkpoint.time.monotonic", lambda: now.__setitem__(0, now[0] + 1.0) or now[0])
    killed(run, 6, seconds=2.5)
    assert len(kept(path)) == 2
    monkeypatch.setattr("graphcl.training.checkpoint.time.monotonic", lambda: 0.0)
    for entry in (path / "checkpoints").iterdir():
        entry.unlink()
    killed(run, 6, seconds=2.5)
    assert kept(path) == []


def test_a_run_that_is_over_comes_back_without_training(run, monkeypatch):
    want = run()
    said = []
    system = want[0].__class__()
    system.training_step = lambda batch: pytest.fail("it trains again")
    assert_same(run(system=system, say=said.append), want)
    assert said == ["seed-0: finished already after 8 epochs"]


@pytest.mark.parametrize("more", [{}, {"precision": "bf16", "weight_decay": 0.1}])
def test_a_run_that_is_over_goes_on_with_more_epochs_to_the_bits_of_a_longer_one(run, more):
    want, said = run(13, kept=False, **more), []
    run(**more)
    run(10, say=said.append, **more)
    assert_same(run(13, say=said.append, **more), want)
    assert said == ["seed-0: continued after 8 epochs", "seed-0: continued after 10 epochs"]


def test_a_run_that_an_observer_ended_has_no_more_epochs_and_keeps_no_optimiser(run, path, monkeypatch):
    answer = Memory.on_epoch_end
    monkeypatch.setattr(Memory, "on_epoch_end", lambda self, epoch, terms: answer(self, epoch, terms) or epoch == 3)
    want, said = run(), []
    end = path / "checkpoints" / "seed-0.end.safetensors"
    assert format_of.read_tensor_file(end)[0]["train"]["optimizer"] is None
    assert_same(run(13, say=said.append), want)
    assert said == ["seed-0: finished already after 4 epochs"]


def test_an_end_that_an_observer_asked_for_is_kept(run, monkeypatch):
    answer = Memory.on_epoch_end
    monkeypatch.setattr(Memory, "on_epoch_end", lambda self, epoch, terms: answer(self, epoch, terms) or epoch == 3)
    want = run(kept=False)
    assert want[1].epoch == 4
    plain = Checkpoint.after_end

    def dies(self, *arguments):
        raise Killed

    monkeypatch.setattr(Checkpoint, "after_end", dies)
    with pytest.raises(Killed):
        run()
    monkeypatch.setattr(Checkpoint, "after_end", plain)
    assert_same(run(), want)


def test_the_last_hook_is_called_again_if_it_was_cut_short_and_not_if_it_was_done(run, make_system):
    calls = []

    def system(dies=False):
        made = make_system()

        def finish(data):
            calls.append(made.training)
            with torch.no_grad():
                made.line.weight += torch.rand_like(made.line.weight)
            if dies:
                raise Killed

        made.on_fit_end = finish
        return made

    want = run(kept=False, system=system())
    with pytest.raises(Killed):
        run(system=system(dies=True))
    assert_same(run(system=system()), want)
    assert calls == [False] * 3
    assert_same(run(system=system()), want)
    assert len(calls) == 3


@pytest.mark.parametrize("damage", [lambda whole: b"", lambda whole: whole[:100], lambda whole: whole[:-1] + b"?"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before_it(run, path, damage):
    want, said = run(kept=False), []
    killed(run, 5)
    newest = path / "checkpoints" / "seed-0.00000005.safetensors"
    newest.write_bytes(damage(newest.read_bytes()))
    assert_same(run(say=said.append), want)
    assert "seed-0.00000005.safetensors" in said[0]
    assert said[0].endswith("going back to the checkpoint before it")
    assert said[1:] == ["seed-0: continued after 4 epochs"]


def test_with_nothing_readable_left_it_begins_anew(run, path):
    want = run(kept=False)
    killed(run, 5)
    for entry in (path / "checkpoints").iterdir():
        entry.write_bytes(b"")
    assert_same(run(), want)
    (path / "checkpoints" / "seed-0.end.safetensors").write_bytes(b"")
    assert_same(run(), want)
    assert_same(run(), want)


@pytest.mark.parametrize("what", IDENTITY)
def test_a_checkpoint_of_another_origin_is_refused(run, what):
    killed(run, 3)
    with pytest.raises(
        InputError, match=rf"00000003.safetensors is of another {what}: it says {IDENTITY[what]}, and this run other"
    ):
        run(identity={**IDENTITY, what: "other"})


def test_a_checkpoint_of_a_later_format_is_refused(run, monkeypatch):
    monkeypatch.setattr(format_of, "FORMAT", 7)
    killed(run, 3)
    monkeypatch.undo()
    with pytest.raises(InputError, match="has format version 7, and this graphcl reads up to 1"):
        run()


def test_a_checkpoint_of_another_system_is_refused(run, make_system):
    killed(run, 3)
    other = make_system()
    other.line = nn.Linear(3, 2)
    with pytest.raises(InputError, match=r"does not fit this system: 'line.weight' is \(1, 3\) float32 in it and \(2, 3\)"):
        run(system=other)


def test_in_a_folder_that_was_not_reopened_nothing_is_looked_for(make_system, points, run, path, tmp_path):
    killed(run, 3)
    (path / "config.yaml").unlink()
    (path / "checkpoints").rename(tmp_path / "fresh-checkpoints")
    folder = RunFolder(tmp_path / "fresh")
    (tmp_path / "fresh").mkdir()
    (tmp_path / "fresh-checkpoints").rename(tmp_path / "fresh" / "checkpoints")
    state = Trainer(TrainingConfig(epochs=1, device="cpu"), [], Checkpoint(folder, "seed-0", seconds=0, identity=IDENTITY)).fit(
        make_system(), points
    )
    assert len(state.history) == 1


def test_a_write_that_is_cut_short_leaves_the_checkpoints_there_were(run, path, monkeypatch):
    killed(run, 3)
    before = kept(path)

    def half(target, state, about):
        target.write_bytes(b"half")
        raise Killed

    monkeypatch.setattr("graphcl.training.checkpoint.write_tensor_file", half)
    with pytest.raises(Killed):
        run()
    assert kept(path) == before


def test_only_observers_with_a_memory_are_asked_for_it():
    class Deaf:
        def on_epoch_end(self, epoch, terms): ...

    assert isinstance(Memory(), Stateful)
    assert not isinstance(Deaf(), Stateful)


def test_of_several_ranks_the_first_alone_writes(make_system, points, path):
    config = TrainingConfig(epochs=2, lr=0.05, device="cpu")
    for rank, kept in ((1, 0), (0, 1)):
        checkpoint = Checkpoint(RunFolder.reopen(path), "seed-0", seconds=0, identity=IDENTITY, ranks=Ranks(rank, 2))
        Trainer(config, [], checkpoint).fit(make_system(), points)
        assert len(list((path / "checkpoints").iterdir())) == kept
