from __future__ import annotations

import pytest
import torch

from graphcl.recsys.fitting import fit_system, list_scores
from graphcl.recsys.ranking import fingerprint
from graphcl.recsys.ranking.rows import union
from graphcl.training import Checkpoint, RunFolder, TrainingConfig, deterministic


def config(epochs: int = 12, **more) -> TrainingConfig:
    return TrainingConfig(epochs=epochs, lr=0.02, device="cpu", **more)


class Spy:
    """Counts epochs, and raises once it has seen enough: a run that is killed."""

    def __init__(self, most: int | None = None) -> None:
        self.epochs: list[int] = []
        self.most = most

    def on_epoch_end(self, epoch: int, terms: dict[str, float]) -> None:
        self.epochs.append(epoch)
        if self.most is not None and len(self.epochs) > self.most:
            raise KeyboardInterrupt


def test_the_weights_are_those_of_the_best_epoch(tastes, build):
    split = tastes()
    spy = Spy()
    fitted = fit_system(build, split.train, split.valid, config(), every=2, observers=[spy])
    values = {row["epoch"]: row["valid ndcg@20"] for row in fitted.history if "valid ndcg@20" in row}
    assert sorted(values) == [1, 3, 5, 7, 9, 11]
    assert spy.epochs == list(range(12))
    assert fitted.best_value == max(values.values()) == values[fitted.best_epoch]
    users = (split.valid.user_degrees > 0).nonzero()[0]
    again = list_scores(fitted.system.scorer(), split.train, split.valid, users).mean()
    assert again == pytest.approx(fitted.best_value, abs=1e-12)
    assert fitted.system.graph.fingerprint == fingerprint(split.train)
    assert not fitted.refit
    assert not fitted.system.training


def test_it_learns_what_there_is_to_learn(tastes, build):
    split = tastes()
    fitted = fit_system(build, split.train, split.valid, config(40), every=2)
    users = (split.valid.user_degrees > 0).nonzero()[0]
    torch.manual_seed(1)
    chance = list_scores(lambda ids: torch.rand(len(ids), split.train.num_items), split.train, split.valid, users).mean()
    assert fitted.best_value > chance + 0.1


def test_patience_ends_training_early(tastes, build):
    split = tastes()
    fitted = fit_system(build, split.train, split.valid, TrainingConfig(epochs=60, lr=1e-9, device="cpu"), every=1, patience=3)
    assert len(fitted.history) == fitted.best_epoch + 4


def test_without_validation_the_last_epoch_speaks(tastes, build):
    split = tastes()
    fitted = fit_system(build, split.train, None, config(3), refit=True)
    assert (fitted.best_epoch, fitted.best_value, fitted.refit) == (None, None, False)
    assert len(fitted.history) == 3


def test_a_refit_takes_the_chosen_number_of_epochs_on_both_parts(tastes, build):
    split = tastes()
    fitted = fit_system(build, split.train, split.valid, config(), every=2, refit=True)
    both = union(split.train, split.valid)
    wanted = fit_system(build, both, None, config(fitted.best_epoch + 1))
    assert fitted.refit
    assert fitted.system.graph.fingerprint == fingerprint(both)
    assert torch.equal(fitted.system.item_table, wanted.system.item_table)


@pytest.mark.parametrize("refit", [False, True])
@pytest.mark.parametrize("killed", [1, 5, 8])
def test_a_killed_run_goes_on_to_the_same_bits(tastes, build, tmp_path, killed, refit):
    split = tastes()
    settings = {"every": 2, "patience": 3, "refit": refit}
    with deterministic(True):
        whole = fit_system(build, split.train, split.valid, config(10), **settings)

        def kept(folder: RunFolder) -> Checkpoint:
            return Checkpoint(folder, "seed-0", seconds=0, identity={"data": "1"})

        folder = RunFolder(tmp_path / "run")
        folder.write_yaml("config.yaml", {})
        with pytest.raises(KeyboardInterrupt):
            fit_system(
                build, split.train, split.valid, config(10), **settings, observers=[Spy(killed)], checkpoint=kept(folder)
            )
        again = RunFolder.reopen(tmp_path / "run")
        spy = Spy()
        gone_on = fit_system(
            build, split.train, split.valid, config(10), **settings, observers=[spy], checkpoint=kept(again)
        )  # fmt: skip
    assert spy.epochs[:1] == [killed]
    assert (gone_on.best_epoch, gone_on.best_value) == (whole.best_epoch, whole.best_value)
    assert gone_on.history == whole.history
    for name, table in whole.system.state_dict().items():
        assert torch.equal(gone_on.system.state_dict()[name], table)


def test_a_finished_run_comes_back_with_its_best_weights(tastes, build, tmp_path):
    split = tastes()
    folder = RunFolder(tmp_path / "run")
    folder.write_yaml("config.yaml", {})
    found = []
    for where in (folder, None):
        where = where or RunFolder.reopen(tmp_path / "run")
        keep = Checkpoint(where, "seed-0", seconds=1e9, identity={})
        spy = Spy()
        found.append(
            fit_system(build, split.train, split.valid, config(), every=2, refit=True, checkpoint=keep, observers=[spy])
        )
    assert spy.epochs == []
    assert torch.equal(found[0].system.item_table, found[1].system.item_table)
    assert found[0].seconds == found[1].seconds
    assert keep.began_at == found[0].seconds
