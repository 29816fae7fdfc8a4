from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import yaml

from graphcl.errors import InputError
from graphcl.recsys.data import Events, IdMap
from graphcl.recsys.data.registry import davis
from graphcl.recsys.ranking import evaluate
from graphcl.tasks import quickstart as module
from graphcl.tasks.quickstart import Core, compare, quickstart, simplest, split_own, suited
from graphcl.tasks.recommender import Recommender
from graphcl.training import RunFolder, TrainingConfig

TRAINING = TrainingConfig(epochs=4, lr=0.05, device="cpu")


@pytest.fixture(scope="module")
def log() -> Events:
    """Sixty users of two tastes over a hundred days; text ids."""
    rng = np.random.default_rng(0)
    user, item = rng.integers(60, size=1500), rng.integers(20, size=1500) * 2
    item = np.where(rng.random(1500) < 0.9, item + user % 2, item + 1 - user % 2)
    return Events(
        IdMap.of([f"u{number}" for number in range(60)], "user"), IdMap.of([f"i{number}" for number in range(40)], "item"),
        user.astype(np.int32), item.astype(np.int32), None, np.sort(rng.integers(100, size=1500)),
    )  # fmt: skip


def test_a_log_with_times_is_split_by_time_and_without_at_random(log):
    split = split_own(log)
    assert split.protocol == "strict"
    assert split.train.times.max() < split.valid.times.min() < split.test.times.min()
    assert split_own(log, "random").protocol == "lit-ratio"
    assert split_own(replace(log, time=None)).protocol == "lit-ratio"
    assert split_own(davis(), seed=1).train.sha256 != split_own(davis(), seed=2).train.sha256


def test_only_the_training_part_is_filtered(log):
    whole, core = split_own(log), split_own(log, core=Core(user=12, item=5))
    degrees = core.train.user_degrees
    assert core.train.num_interactions < whole.train.num_interactions
    assert degrees[degrees > 0].min() >= 12
    assert core.test.sha256 == whole.test.sha256
    assert core.valid.sha256 == whole.valid.sha256


def test_logs_that_cannot_be_split_say_what_to_do(log):
    with pytest.raises(InputError, match=r"to split by time, got none; .*; or split at random with --split random"):
        split_own(davis(), "time")
    with pytest.raises(InputError, match="no interaction is left"):
        split_own(log, core=Core(user=100))
    rows = np.arange(60, dtype=np.int32)
    strangers = replace(log, user=rows, item=rows % 40, time=rows.astype(np.int64))
    with pytest.raises(InputError, match=r"nobody has both training and validation rows.*--split random"):
        split_own(strangers)


def test_the_simplest_within_one_standard_error_is_chosen():
    assert simplest([(0.10, 0.01), (0.18, 0.05), (0.20, 0.03)]) == 1
    assert simplest([(0.17, 0.5), (0.18, 0.05), (0.20, 0.03)]) == 0
    assert simplest([(0.10, 0.01), (0.12, 0.01), (0.20, 0.03)]) == 2
    assert simplest([(0.2, 0.0), (0.2, 0.0)]) == 0


def test_three_simple_methods_and_a_learned_one_compete(log, monkeypatch):
    train = split_own(log).train
    names = suited(train)
    assert names[:3] == ["popularity", "item-knn", "ease"]
    assert names[3] in ("xsimgcl", "lightgcn")
    monkeypatch.setattr(module, "available_memory", lambda device: 8 * 40**2 - 1)
    assert suited(train)[2] == "ials"
    monkeypatch.setattr(module, "available_memory", lambda device: None)
    monkeypatch.setattr("graphcl.recsys.anchors.ease.QUICK_ITEMS", 39)
    assert suited(train)[2] == "ials"


def test_a_comparison_reads_the_test_part_once_for_each_after_the_choice(log, monkeypatch):
    read = []

    def spy(scorer, split, *rest, part="test", **more):
        read.append(part)
        return evaluate(scorer, split, *rest, part=part, **more)

    monkeypatch.setattr("graphcl.tasks.recommender.evaluate", spy)
    names = ["ease", "popularity", "item-knn"]
    comparison = compare(split_own(log), names, training=TRAINING)
    assert read == ["valid"] * 3 + ["test"] * 3
    assert [row.method for row in comparison.contenders] == ["popularity", "item-knn", "ease"]
    assert comparison.chosen in names


def test_a_learned_method_competes_with_a_gentle_contrast_and_the_run_says_so(log, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "suited", lambda train: ["xsimgcl"])
    made = quickstart(log, RunFolder(tmp_path / "run"), training=TRAINING)
    assert made.recommender.get_params()["params"] == {"contrast": 0.02}
    assert made.recommender.system_.contrast == 0.02
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["params"] == {"contrast": 0.02}


def test_its_figures_are_those_of_the_split(log):
    split = split_own(log)
    comparison = compare(split, ["popularity", "ease"])
    assert comparison.chosen == "ease"  # two tastes
    for row in comparison.contenders:
        model = Recommender(row.method, refit=False).fit(split)
        valid = model.score(split, part="valid").per_user
        each = valid.filter(pl.col("history") > 0)["ndcg@20"].to_numpy()
        assert row.valid == pytest.approx(each.mean())
        assert row.error == pytest.approx(each.std(ddof=1) / len(each) ** 0.5)
        assert row.test == model.score(split).metrics
        assert comparison.valid_users == len(each)


def test_the_folder_holds_lists_model_and_figures(log, tmp_path):
    said: list[str] = []
    done = quickstart(log, RunFolder(tmp_path / "run"), name="shop", k=3, training=TRAINING, say=said.append)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "config.yaml", "environment.json", "interactions.npz", "items.npz", "metrics.json", "model.json", "model.safetensors",
        "recommendations.csv", "users.npz",
    }  # fmt: skip
    lists = pl.read_csv(tmp_path / "run" / "recommendations.csv")
    assert lists.columns == ["user", "item", "score", "rank", "source"]
    assert lists.height == 180
    loaded = Recommender.load(tmp_path / "run", device="cpu")
    assert loaded.recommend(k=3).equals(done.recommendations)
    assert loaded.n_interactions_ == log.interactions().num_interactions  # everything, not the training part alone
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics == json.loads(json.dumps(done.metrics))
    assert metrics["system"] == done.comparison.chosen == loaded.method
    assert set(metrics["validation"]) == {metrics["system"], *metrics["baselines"]}
    assert len(metrics["validation"]) == 4
    assert "ndcg@20" in metrics["metrics"]
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (config["data"], config["k"], config["compared"]) == ("shop", 3, True)
    assert said[0].startswith("1/4 popularity")


def test_a_chosen_system_is_trained_again_on_everything_as_long_as_validation_liked(log, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "suited", lambda train: ["lightgcn"])
    training = replace(TRAINING, epochs=12)
    done = quickstart(log, RunFolder(tmp_path / "run"), training=training)
    (row,) = done.comparison.contenders
    wanted = Recommender("lightgcn", training=replace(training, epochs=row.best_epoch + 1), selection="last")
    np.testing.assert_array_equal(done.recommender.embedding_, wanted.fit(log.interactions()).embedding_)


def test_a_method_that_is_named_is_fitted_at_once(log, tmp_path):
    done = quickstart(log, RunFolder(tmp_path / "run"), method="item-knn", table="parquet", core=Core(user=15))
    assert done.comparison is None
    lists = pl.read_parquet(tmp_path / "run" / "recommendations.parquet")
    assert lists.equals(done.recommendations)
    assert set(lists["source"]) == {"model", "fallback"}  # users below the core are served too
    assert lists["user"].n_unique() == 60
    assert done.metrics["metrics"] == {}


def test_nothing_is_written_for_a_bad_wish(log, tmp_path):
    for wish, match in (
        ({"method": "eas"}, "did you mean ease"),
        ({"k": 0}, "k must be 1 or more"),
        ({"how": "loo"}, "unknown way to split 'loo'"),
        ({"table": "xlsx"}, "unknown format of lists 'xlsx'"),
    ):
        with pytest.raises(InputError, match=match):
            quickstart(log, RunFolder(tmp_path / "run"), **wish)
    assert not list(tmp_path.iterdir())


def test_a_sequential_method_learns_from_every_event_of_the_core(log, tmp_path):
    core = Core(user=18, item=5)
    done = quickstart(log, RunFolder(tmp_path / "r"), method="markov", core=core, k=3)
    kept = core.of(log.interactions())
    assert done.recommender.trained_.rows.num_interactions == kept.num_interactions
    held = core.of_events(log)
    assert len(held) > kept.num_interactions, "repeats count"
    assert done.metrics["data"]["interactions"] == len(held) == done.recommender.trained_.order.histories.num_events
    assert Core().of_events(log) is log


def test_without_times_there_is_no_order_to_learn_from(log, tmp_path):
    with pytest.raises(InputError, match="markov goes by the order of events, and these have no times"):
        quickstart(replace(log, time=None), RunFolder(tmp_path / "r"), method="markov")
    assert list(tmp_path.iterdir()) == []
