from __future__ import annotations

import numpy as np
import pytest
import torch

from graphcl.models import SYSTEMS, find_system
from graphcl.recsys.anchors import Markov
from graphcl.recsys.fitting import fit_sequences, list_scores
from graphcl.training import Checkpoint, RunFolder, TrainingConfig, deterministic

SEQUENTIAL = [name for name, entry in SYSTEMS.items() if entry.task == "sequential"]
SMALL = {"dim": 8, "layers": 1, "max_length": 8, "batch_size": 128}


def config(epochs: int = 6, lr: float = 0.01) -> TrainingConfig:
    return TrainingConfig(epochs=epochs, lr=lr, device="cpu")


class Spy:
    """Counts epochs, and raises once it has seen enough: a run that is killed."""

    def __init__(self, most: int | None = None) -> None:
        self.epochs: list[int] = []
        self.most = most

    def on_epoch_end(self, epoch: int, terms: dict[str, float]) -> None:
        self.epochs.append(epoch)
        if self.most is not None and len(self.epochs) > self.most:
            raise KeyboardInterrupt


def test_it_learns_the_order_that_popularity_does_not_know(walks, build_sequences):
    split = walks()
    fitted = fit_sequences(build_sequences, split.train, split.valid, config(25), every=5)
    target = split.split.test
    users = np.arange(60)
    histories = split.histories("test")
    popular = torch.from_numpy(split.split.train.item_degrees).float()

    def score(scorer) -> float:
        return float(list_scores(scorer, histories.interactions(), target, users, length=10).mean())

    found, markov = score(fitted.system.scorer(histories)), score(Markov().fit(split.train).scorer(histories))
    assert found > 0.5
    assert markov > 0.5
    assert score(lambda users: popular.expand(len(users), -1)) < 0.35


def test_the_weights_are_those_of_the_best_epoch(walks, build_sequences):
    split = walks()
    spy = Spy()
    fitted = fit_sequences(build_sequences, split.train, split.valid, config(), every=2, observers=[spy])
    values = {row["epoch"]: row["valid ndcg@10"] for row in fitted.history if "valid ndcg@10" in row}
    assert sorted(values) == [1, 3, 5]
    assert spy.epochs == list(range(6))
    assert fitted.best_value == max(values.values()) == values[fitted.best_epoch]
    again = list_scores(
        fitted.system.scorer(split.train), split.train.interactions(), split.valid.interactions(), np.arange(60), length=10
    )
    assert again.mean() == pytest.approx(fitted.best_value, abs=1e-6)
    assert fitted.system.sequences is split.train
    assert not fitted.refit
    assert not fitted.system.training


def test_a_refit_takes_the_chosen_number_of_epochs_on_whole_histories(walks, build_sequences):
    split = walks()
    fitted = fit_sequences(build_sequences, split.train, split.valid, config(), every=2, refit=True)
    both = split.train.extended(split.valid)
    wanted = fit_sequences(build_sequences, both, None, config(fitted.best_epoch + 1))
    assert fitted.refit
    assert fitted.system.sequences.sha256 == both.sha256
    assert torch.equal(fitted.system.encoder.item_table, wanted.system.encoder.item_table)
    assert (wanted.best_epoch, wanted.best_value, wanted.refit) == (None, None, False)


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_a_killed_run_of_any_system_goes_on_to_the_same_bits(walks, tmp_path, name):
    split, system = walks(users=20, items=12), find_system(name).load()
    known = {"intents": 4} if name in ("iclrec", "icsrec") else {}

    def build(sequences):
        return system(sequences, **SMALL, **known)

    def kept(folder: RunFolder) -> Checkpoint:
        return Checkpoint(folder, "seed-0", seconds=0, identity={"data": "1"})

    settings = {"every": 1, "patience": 3, "refit": True}
    with deterministic(True):
        whole = fit_sequences(build, split.train, split.valid, config(3), **settings)
        folder = RunFolder(tmp_path / "run")
        folder.write_yaml("config.yaml", {})
        with pytest.raises(KeyboardInterrupt):
            fit_sequences(
                build, split.train, split.valid, config(3), **settings, observers=[Spy(1)], checkpoint=kept(folder)
            )  # fmt: skip
        spy = Spy()
        again = kept(RunFolder.reopen(tmp_path / "run"))
        gone_on = fit_sequences(
            build, split.train, split.valid, config(3), **settings, observers=[spy], checkpoint=again
        )  # fmt: skip
    assert spy.epochs[:1] == [1]
    assert (gone_on.best_epoch, gone_on.best_value) == (whole.best_epoch, whole.best_value)
    assert gone_on.history == whole.history
    for key, part in whole.system.state_dict().items():
        assert torch.equal(gone_on.system.state_dict()[key], part), key
