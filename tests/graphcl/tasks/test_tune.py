from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from graphcl import datasets
from graphcl.datasets.provenance import Provenance
from graphcl.errors import InputError
from graphcl.evaluation import public_splits
from graphcl.models.recipes import Recipe
from graphcl.tasks.run_config import check_model, check_training, find_entry
from graphcl.tasks.tune import (
    Tuning,
    Wishes,
    best_recipe,
    best_trial,
    check_store,
    folder_of,
    run_tuning,
    stored_wishes,
)
from graphcl.tasks.tune_study import Trial, TrialStore
from graphcl.training import NonFiniteLossError

SMALL = ("hidden=8", "projection=8", "lr=0.01")
WISHES = Wishes(settings=SMALL, epochs=2, device="cpu")


class Listener:
    def __init__(self):
        self.began, self.heard = [], []

    def on_start(self, done):
        self.began.append(len(done))

    def on_trial(self, trial):
        self.heard.append(trial.number)


class Memory:
    """A store that does not wait for a disk."""

    folder = Path("memory")

    def __init__(self):
        self.there, self.kept, self.budget = None, [], 0

    @property
    def exists(self):
        return self.there is not None

    def create(self, plan, budget):
        self.there, self.budget = plan, budget

    def plan(self):
        return self.there

    def trials(self):
        return list(self.kept)

    def add(self, trial, space):
        self.kept.append(trial)


class Bowl:
    """An objective that trains nothing: best where the temperature is 1; some settings diverge."""

    metric, said = "bowl", "a bowl"

    def __init__(self, bad=lambda config: False, error=NonFiniteLossError):
        self.bad, self.error, self.seen = bad, error, []

    def value(self, config, seed):
        self.seen.append((config, seed))
        if self.bad(config):
            raise self.error("epoch 1: the loss\n is nan")
        return -(math.log(config.model["temperature"]) ** 2) + seed


@pytest.fixture(scope="module")
def karate():
    return datasets.load("karate")


@pytest.fixture
def tuning(karate):
    return Tuning.of("grace", karate, WISHES)


def without_seconds(trials):
    return [(trial.number, dict(trial.params), trial.value, trial.values, trial.failure) for trial in trials]


def test_the_first_trial_is_the_run_as_it_is_and_so_the_best_is_never_worse(tuning):
    objective = Bowl()
    trials = run_tuning(tuning, None, Memory(), 4, Listener(), objective)
    assert objective.seen[0][0] == tuning.base
    assert trials[0].params["model.temperature"] == tuning.base.model["temperature"]
    assert best_trial(trials).value >= trials[0].value
    assert len({trial.params["model.temperature"] for trial in trials}) == 4


def test_a_run_outside_the_space_is_not_tried(karate):
    tuning = Tuning.of("grace", karate, Wishes(settings=SMALL, space=("temperature=0.9:1",)))
    assert tuning.usual() is None
    (trial,) = run_tuning(tuning, None, Memory(), 1, Listener(), Bowl())
    assert 0.9 <= trial.params["model.temperature"] <= 1


def test_settings_reach_every_trial_and_the_space_is_typed(karate):
    wishes = Wishes(settings=SMALL[1:], space=("hidden=4,8", "symmetric_drop=true,false", "batch_nodes=8:20"), epochs=7)
    objective = Bowl()
    run_tuning(Tuning.of("grace", karate, wishes), None, Memory(), 5, Listener(), objective)
    for config, _ in objective.seen:
        assert config.model["hidden"] in (4, 8)
        assert config.model["symmetric_drop"] in (True, False)
        assert config.model["projection"] == 8
        assert isinstance(config.training.batch_nodes, int)
        assert (config.training.epochs, config.training.lr) == (7, 0.01)


def test_a_value_is_the_mean_over_the_seeds(karate):
    objective = Bowl()
    tuning = Tuning.of("grace", karate, Wishes(seeds=3))
    (trial,) = run_tuning(tuning, None, Memory(), 1, Listener(), objective)
    assert [seed for _, seed in objective.seen] == [0, 1, 2]
    assert trial.value == pytest.approx(np.mean(trial.values))
    assert trial.values[2] - trial.values[0] == pytest.approx(2)


def test_a_tuning_in_two_sittings_is_the_one_at_a_single_sitting(tuning, tmp_path):
    whole, parts = Memory(), TrialStore(tmp_path / "parts")
    bad = lambda config: config.model["temperature"] > 0.8  # noqa: E731
    want = run_tuning(tuning, None, whole, 9, Listener(), Bowl(bad))
    assert any(trial.failure for trial in want)
    run_tuning(tuning, None, parts, 3, Listener(), Bowl(bad))
    assert parts.budget == 3

    class Killed(Bowl):
        def value(self, config, seed):
            if len(self.seen) == 4:
                raise KeyboardInterrupt
            return super().value(config, seed)

    with pytest.raises(KeyboardInterrupt):
        run_tuning(tuning, None, parts, 9, Listener(), Killed(bad))
    assert (len(parts.trials()), parts.budget) == (7, 9)
    listener = Listener()
    found = run_tuning(tuning, None, parts, 9, listener, Bowl(bad))
    assert (listener.began, listener.heard) == ([7], [7, 8])
    assert without_seconds(found) == without_seconds(want) == without_seconds(parts.trials())
    again = Bowl(bad)
    assert run_tuning(tuning, None, parts, 5, Listener(), again) == parts.trials()
    assert again.seen == []


def test_a_trial_that_diverges_is_kept_as_failed_and_never_the_best(tuning):
    trials = run_tuning(tuning, None, Memory(), 6, Listener(), Bowl(lambda config: config.model["temperature"] != 0.4))
    assert [trial.failure for trial in trials] == [None, *["epoch 1: the loss is nan"] * 5]
    assert [trial.value is None for trial in trials] == [False, *[True] * 5]
    assert best_trial(trials).number == 0
    assert best_trial(trials[1:]) is None


def test_a_training_that_really_diverges_is_a_failed_trial(karate):
    tuning = Tuning.of("grace", karate, Wishes(settings=SMALL[:2], space=("lr=1e30,0.01",), epochs=3, device="cpu"))
    trials = run_tuning(tuning, karate, Memory(), 6, Listener())
    bad = [trial for trial in trials if trial.params["training.lr"] == "1e30"]
    assert bad
    assert all("try a smaller lr" in trial.failure and trial.value is None for trial in bad)
    assert best_trial(trials).params["training.lr"] == "0.01"


def test_a_value_that_is_no_number_is_a_failure(tuning):
    class Blank(Bowl):
        def value(self, config, seed):
            return math.nan

    (trial,) = run_tuning(tuning, None, Memory(), 1, Listener(), Blank())
    assert (trial.value, trial.values, trial.failure) == (None, (), "bowl is nan with seed 0")


def test_what_the_first_trial_cannot_use_is_the_callers_mistake_and_leaves_nothing(tuning, tmp_path):
    store = TrialStore(tmp_path / "t")
    with pytest.raises(InputError, match="the loss"):
        run_tuning(tuning, None, store, 3, Listener(), Bowl(lambda config: True, InputError))
    assert not store.folder.exists()


def test_labels_of_test_nodes_change_no_bit_of_any_trial(planted):
    data = planted(60)
    part = torch.arange(60) % 4
    data.y = torch.randint(2, (60,), generator=torch.Generator().manual_seed(0))  # hard to learn: no two trials alike
    data.train_mask, data.val_mask, data.test_mask = part == 0, part == 1, part >= 2
    data.provenance = Provenance("embedded", "planted", "drawn", "none", "0" * 64)
    (split,) = public_splits(data)
    found = []
    for labels in (data.y[split.test], data.y[split.test].flip(0), torch.full((30,), 77)):
        other = copy.copy(data)
        other.y = data.y.clone()
        other.y[split.test] = labels
        found.append(without_seconds(run_tuning(
            Tuning.of("grace", other, WISHES), other, Memory(), 7, Listener()
        )))  # fmt: skip
    assert found[0] == found[1] == found[2]
    assert len({value for _, _, value, _, _ in found[0]}) > 1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"system": "gca"}, "another system, grace instead of gca"),
        ({"space": ("temperature=0.1:0.5",)},
         "another space, model.temperature=0.133:1.2:log instead of model.temperature=0.1:0.5"),
        ({"space": ("hidden=4,8",), "settings": SMALL[1:]}, "another space, nothing instead of model.hidden=4,8"),
        ({"seed": 1}, "another seed, 0 instead of 1"),
        ({"settings": ("hidden=8", "projection=4", "lr=0.01")}, "another configuration, model: projection: 8 instead of 4"),
        ({"epochs": 3}, "another configuration, training: epochs: 2 instead of 3"),
        ({"seeds": 2}, r"another configuration, seeds: nothing instead of 1:"),
    ],
)  # fmt: skip
def test_a_store_of_another_tuning_is_refused(karate, tuning, more, message):
    store = Memory()
    check_store(store, tuning)
    store.create(tuning.plan(), 3)
    check_store(store, tuning)
    wishes = {"settings": SMALL, "epochs": 2, "device": "cpu", **more}
    other = Tuning.of(wishes.pop("system", "grace"), karate, Wishes(**wishes))
    with pytest.raises(InputError, match=message):
        check_store(store, other)
    with pytest.raises(InputError, match=r"go on with graphcl tune --resume .*, or name another folder with --out"):
        run_tuning(other, None, store, 3, Listener(), Bowl())


def test_the_wishes_come_back_from_the_store(karate, tmp_path):
    wishes = Wishes(("hidden=8",), ("lr=0.1:1:log",), 3, None, "random", "cpu", 12, 2, 5)
    tuning, store = Tuning.of("grace", karate, wishes), TrialStore(tmp_path)
    store.create(tuning.plan(), 3)
    assert stored_wishes(store) == ("grace", "karate", wishes)
    assert Tuning.of("grace", karate, wishes) == tuning


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        (Wishes(space=("epochs=2:5",), epochs=3), "--epochs fixes it"),
        (Wishes(space=("lr=-1:1",)), "lr must be > 0; got -1"),
        (Wishes(space=("negatives=exact,exactly",)), r"model.negatives: .*got 'exactly'"),
        (Wishes(seed=-1), "a seed lies in 0 .. 4294967295; got -1"),
        (Wishes(seeds=0), "seeds is the number of runs"),
    ],
)
def test_what_no_trial_could_use_is_refused_before_the_first(karate, wishes, message):
    with pytest.raises(InputError, match=message):
        Tuning.of("grace", karate, wishes)


def test_a_number_of_trials_below_one_is_refused(tuning):
    with pytest.raises(InputError, match="trials must be >= 1; got 0"):
        run_tuning(tuning, None, Memory(), 0, Listener(), Bowl())


def test_of_equal_trials_the_first_is_the_best():
    assert best_trial([Trial(0, {}, 0.5), Trial(1, {}, 0.7), Trial(2, {}, 0.7)]).number == 1
    assert best_trial([]) is None


def test_the_best_recipe_reads_as_a_recipe_and_resolves_to_the_trial(tuning):
    trial = Trial(3, {**tuning.usual(), "model.temperature": 0.77, "training.lr": 0.0123}, 0.625, (0.625,))
    text = best_recipe(tuning, trial, "val_acc", 9)
    recipe = Recipe(**yaml.safe_load(text))
    config = tuning.config(trial.params)
    assert (recipe.system, recipe.dataset) == ("grace", "karate")
    assert check_model(find_entry("grace"), recipe.model) == config.model
    assert check_training({**recipe.training, "device": "cpu"}) == config.training
    assert "device" not in recipe.training
    assert recipe.protocol == {"seeds": 3}
    assert "trial 3 of 9, val_acc 0.6250 of one seed" in text
    assert f"# {tuning.command(trial.params)}\n" in text


def test_the_command_says_everything_that_was_asked_for(karate):
    wishes = Wishes(("hidden=8",), ("lr=0.1:1:log",), 3, None, "random", "cpu", 12)
    words = Tuning.of("grace", karate, wishes).command({"training.lr": 0.5, "model.loss": "a b"}).split(" ", 4)
    assert words[:4] == ["graphcl", "run", "grace", "karate"]
    assert words[4] == (
        "--set hidden=8 --set training.lr=0.5 --set 'model.loss=a b' --epochs 3 --protocol random --device cpu --batch-nodes 12"
    )


def test_a_tuning_has_a_folder_of_its_own_name():
    assert str(folder_of("grace", "citation/cora")) == "runs/tune-grace-citation-cora"
