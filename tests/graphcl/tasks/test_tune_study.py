from __future__ import annotations

import math

import pytest

from graphcl.errors import InputError
from graphcl.tasks.tune_space import Choice, Range
from graphcl.tasks.tune_study import DRAWN, Trial, TrialStore, propose

SPACE = (
    Choice("model.loss", ("a", "b")),
    Range("model.width", 2, 64, log=True, whole=True),
    Range("training.lr", 1e-4, 1.0, True),
)


def played(count, seed=0, before=()):
    """Trials of a bowl over the logarithm of the learning rate, every seventh of which fails."""
    done = list(before)
    while len(done) < count:
        params = propose(SPACE, done, seed)
        number = len(done)
        bad = number % 7 == 6
        value = None if bad else -((math.log10(params["training.lr"]) + 2) ** 2) - (params["model.loss"] == "a")
        done.append(Trial(number, params, value, () if bad else (value,), 0.5, "diverged" if bad else None))
    return done


def test_proposals_lie_in_the_space_with_four_digits():
    for trial in played(20):
        assert set(trial.params) == {one.key for one in SPACE}
        assert trial.params["model.loss"] in ("a", "b")
        assert isinstance(trial.params["model.width"], int)
        assert 2 <= trial.params["model.width"] <= 64
        rate = trial.params["training.lr"]
        assert 1e-4 <= rate <= 1
        assert rate == float(f"{rate:.4g}")


def test_a_proposal_follows_from_the_seed_and_the_trials_before_it_and_nothing_else():
    at_once = played(12)
    assert played(12, before=played(8)) == at_once
    assert played(12, seed=1) != at_once


def test_what_was_good_is_tried_more_often_once_the_sampler_has_seen_enough():
    """Drawn at random on four decades, an exponent is off the optimum by one on average."""
    off = [abs(math.log10(trial.params["training.lr"]) + 2) for seed in range(4) for trial in played(24, seed)[-8:]]
    assert sum(off) / len(off) < 0.75
    first = [trial.params["training.lr"] for trial in played(DRAWN, seed=3)]
    assert len(set(first)) == DRAWN


def test_trials_come_back_as_they_were_put_in(tmp_path):
    store, trials = TrialStore(tmp_path / "a b?%" / "t"), played(8)
    assert not store.exists
    store.create({"system": "x", "list": [1, None]}, 9)
    for trial in trials:
        store.add(trial, SPACE)
    again = TrialStore(tmp_path / "a b?%" / "t")
    assert again.exists
    assert again.plan() == {"system": "x", "list": [1, None]}
    assert again.budget == 9
    assert again.trials() == trials
    again.budget = 12
    assert store.budget == 12
    assert [path.name for path in store.folder.iterdir()] == ["study.db"]


def test_optunas_own_tools_read_the_file(tmp_path):
    import optuna

    store = TrialStore(tmp_path)
    store.create({}, 3)
    for trial in played(7):
        store.add(trial, SPACE)
    study = optuna.load_study(storage=f"sqlite:///{store.path}", study_name="graphcl")
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE"] * 6 + ["FAIL"]
    assert study.best_trial.value == max(trial.value for trial in played(6))
    assert study.direction.name == "MAXIMIZE"


@pytest.mark.parametrize("content", [b"", b"no database at all, whatever it is called" * 50])
def test_a_file_that_is_none_of_ours_is_refused(tmp_path, content):
    (tmp_path / "study.db").write_bytes(content)
    with pytest.raises(InputError, match="is damaged, or no tuning of graphcl's"):
        TrialStore(tmp_path).plan()


def test_another_study_of_optunas_is_refused(tmp_path):
    import optuna

    optuna.create_study(storage=f"sqlite:///{tmp_path / 'study.db'}", study_name="graphcl")
    with pytest.raises(InputError, match="no tuning of graphcl's"):
        TrialStore(tmp_path).trials()


def test_without_the_extra_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("graphcl.tasks.tune_study.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"^graphcl tune needs an extra: pip install 'graphcl\[tune\]'$"):
        TrialStore(tmp_path)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write to .*name another folder with --out"):
        TrialStore(tmp_path / "file" / "t").create({}, 1)
