from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from graphcl.errors import InputError
from graphcl.recsys.data import Split, load, ratio_split, with_validation
from graphcl.recsys.data.registry import davis
from graphcl.recsys.methods import ANCHORS
from graphcl.recsys.ranking import evaluate, fingerprint
from graphcl.recsys.ranking.rows import union
from graphcl.recsys.sequences import sequence_split
from graphcl.tasks.recommender import Recommender
from graphcl.training import TrainingConfig

PARAMS = {"ease": {"l2": 10.0}, "gf-cf": {"rank": 6}, "ials": {"dim": 4, "sweeps": 3}, "lightgcn": {"dim": 8, "layers": 1}}
METHODS = (*(name for name, entry in ANCHORS.items() if entry.task == "recommendation"), "lightgcn")


def made(method: str = "lightgcn", *, epochs: int = 6, **more) -> Recommender:
    training = TrainingConfig(epochs=epochs, lr=0.05, device="cpu")
    return Recommender(method, params=PARAMS.get(method), training=training, every=2, **more)


class Closed:
    """A split whose test part nobody may look at."""

    def __init__(self, split: Split) -> None:
        self.train, self.valid = split.train, split.valid

    @property
    def test(self):
        raise AssertionError("the test part was read")


@pytest.fixture(scope="module")
def split() -> Split:
    return load("davis")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("valid", [True, False])
def test_fitting_never_reads_the_test_part(split, method, valid):
    given = Closed(split if valid else replace(split, valid=None, selection="none"))
    recommender = made(method).fit(given)
    assert recommender.n_users_ == 18
    assert recommender.n_items_ == 14


@pytest.mark.parametrize("method", METHODS)
def test_score_is_evaluate_of_what_is_recommended(split, method):
    recommender = made(method).fit(split)
    result = recommender.score(split)
    wanted = evaluate(recommender.scorer_, split)
    assert result.metrics == wanted.metrics
    assert result.checks["graph"] == "passed"
    lists = recommender.recommend(k=5)
    train = {user: set(split.items.decode(split.train.user_items(user))) for user in range(18)}
    for user, name in enumerate(split.users.ids):
        mine = lists.filter(pl.col("user") == name)
        assert not train[user] & set(mine["item"])
        assert mine["rank"].to_list() == list(range(1, len(mine) + 1))
        assert mine["score"].is_sorted(descending=True)
    assert set(lists["source"]) == {"model"}


def test_the_same_seed_gives_the_same_bits_and_another_does_not(split):
    first, second, other = (made(seed=seed).fit(split) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.embedding_, second.embedding_)
    assert not np.array_equal(first.embedding_, other.embedding_)


def test_the_settings_are_sklearns():
    recommender = made(seed=3, refit=True)
    assert clone(recommender).get_params() == recommender.get_params()
    assert recommender.get_params()["every"] == 2
    with pytest.raises(NotFittedError, match="call fit first"):
        recommender.recommend()


def test_validation_chooses_and_the_rows_of_a_split_with_validation_stay_its_training_rows(split):
    recommender = made().fit(split)
    values = [row["valid ndcg@20"] for row in recommender.history_ if "valid ndcg@20" in row]
    assert recommender.best_value_ == max(values)
    assert recommender.best_epoch_ == 2 * values.index(max(values)) + 1
    assert recommender.trained_.scorer.trained_on == fingerprint(split.train)
    assert recommender.judged(split) is split


def test_rows_that_were_held_out_are_learned_from_in_the_end(split):
    bare = replace(split, valid=None, selection="none")
    recommender = made().fit(bare)
    assert recommender.best_epoch_ is not None
    assert recommender.scorer_.trained_on == fingerprint(bare.train)
    judged = recommender.judged(bare)
    assert judged.selection == "valid-from-train"
    assert fingerprint(union(judged.train, judged.valid)) == fingerprint(bare.train)
    stamps = recommender.score(bare).stamps
    assert "selection=valid-from-train" in stamps
    assert "refit on train and valid" in stamps


def test_held_out_rows_are_the_same_for_every_seed_and_stay_out_without_a_refit(split):
    bare = replace(split, valid=None, selection="none")
    found = [made(seed=seed, refit=False).fit(bare) for seed in (0, 5)]
    held = with_validation(bare, 0.1, generator=torch.Generator().manual_seed(0))
    assert {recommender.scorer_.trained_on for recommender in found} == {fingerprint(held.train)}
    assert found[0].score(bare).data == found[1].score(bare).data == made("ease").fit(bare).score(bare).data


@pytest.mark.parametrize("method", ["ease", "lightgcn"])
def test_a_refit_adds_a_splits_own_validation_part(split, method):
    recommender = made(method, refit=True).fit(split)
    assert recommender.scorer_.trained_on == fingerprint(union(split.train, split.valid))
    assert "refit on train and valid" in recommender.score(split).stamps


def test_last_means_no_choice(split):
    recommender = made(selection="last").fit(split)
    assert recommender.best_epoch_ is None
    assert not any("valid ndcg@20" in row for row in recommender.history_)
    assert len(recommender.history_) == 6


def test_frames_files_events_and_interactions_are_the_same(tmp_path):
    events = davis()
    frame = pl.DataFrame({"who": events.users.decode(events.user), "what": events.items.decode(events.item)})
    path = tmp_path / "log.csv"
    frame.write_csv(path)
    wanted = made("ease").fit(frame, user="who", item="what").recommend()
    for data in (path, str(path), pd.DataFrame(frame.to_dict(as_series=False))):
        found = made("ease").fit(data, user="who", item="what").recommend()
        assert pl.DataFrame({name: list(found[name]) for name in found.columns}, schema=wanted.schema).equals(wanted)
    assert made("ease").fit(events.interactions()).recommend().equals(made("ease").fit(events).recommend())


def test_pandas_in_pandas_out():
    frame = pd.DataFrame({"user": [1, 1, 2, 2, 3], "item": ["a", "b", "b", "c", "a"]})
    recommender = made("item-knn").fit(frame)
    for found in (recommender.recommend([3]), recommender.fold_in(["b"]), recommender.similar_items(["a"])):
        assert isinstance(found, pd.DataFrame)
    assert recommender.recommend([3])["item"].tolist()[0] == "b"
    assert isinstance(made("item-knn").fit(pl.DataFrame(frame.to_dict("list"))).recommend(), pl.DataFrame)


def test_embeddings_are_there_where_there_are_some(split):
    recommender = made().fit(split)
    assert recommender.user_embedding_.shape == (18, 8)
    assert recommender.item_embedding_.shape == (14, 8)
    assert recommender.embedding_.shape == (32, 8)
    scores = recommender.user_embedding_ @ recommender.item_embedding_.T
    np.testing.assert_allclose(scores, recommender.scorer_.score(torch.arange(18)).numpy(), rtol=1e-5, atol=1e-6)
    assert made("ials").fit(split).embedding_.shape == (32, 4)
    assert made("ease").fit(split).embedding_ is None


def test_a_folder_that_is_taken_is_refused(split, tmp_path):
    recommender = made("popularity").fit(split)
    assert recommender.save(tmp_path / "model") == tmp_path / "model"
    with pytest.raises(InputError, match="holds a model already"):
        recommender.save(tmp_path / "model")


def test_another_split_is_not_scored(split):
    recommender = made("ease").fit(split)
    events = davis()
    with pytest.raises(InputError, match="trained on other interactions"):
        recommender.score(ratio_split(events, generator=torch.Generator().manual_seed(9)))
    other = replace(events, users=type(events.users).of([f"{name}!" for name in events.users.ids], "user"))
    with pytest.raises(InputError, match="the user ids are not those of this recommender"):
        recommender.score(ratio_split(other, generator=torch.Generator().manual_seed(0)))


def test_bad_settings_are_refused(split):
    with pytest.raises(InputError, match="unknown recommendation method 'eas'; did you mean ease"):
        made("eas").fit(split)
    with pytest.raises(InputError, match="unknown parameter of lightgcn 'dims'; did you mean dim"):
        Recommender("lightgcn", params={"dims": 8}).fit(split)
    with pytest.raises(InputError, match="unknown selection 'test'"):
        made(selection="test").fit(split)
    with pytest.raises(InputError, match="expected a path, a frame or an iterable of frames, got int"):
        made("ease").fit(3)


def in_order(method: str = "sasrec", *, epochs: int = 12, **more) -> Recommender:
    params = {"dim": 16, "layers": 1, "heads": 1, "dropout": 0.1, "max_length": 8, "batch_size": 32}
    training = TrainingConfig(epochs=epochs, lr=0.01, device="cpu")
    return Recommender(method, params=params if method == "sasrec" else None, training=training, every=4, **more)


@pytest.fixture(scope="module")
def sequences(walks):
    return sequence_split(walks)


@pytest.mark.parametrize("method", ["markov", "sasrec"])
def test_a_sequential_method_finds_the_next_item_that_popularity_does_not(sequences, method):
    recommender = in_order(method, epochs=24).fit(sequences)
    result = recommender.score(sequences)
    popular = Recommender("popularity").fit(sequences).score(sequences)
    assert result.metrics["ndcg@10"] > popular.metrics["ndcg@10"] + 0.3
    assert result.checks["graph"] == "passed"
    wanted = evaluate(recommender.scorer_, sequences.split)
    assert result.metrics == wanted.metrics


def test_validation_is_scored_by_what_was_known_before_it(sequences):
    recommender = in_order().fit(sequences)
    result = recommender.score(sequences, part="valid")
    assert result.metrics["ndcg@10"] == pytest.approx(recommender.best_value_, abs=1e-6)
    scorer = recommender.trained_.scorer_after(sequences.train)
    assert evaluate(scorer, sequences.for_part("valid"), part="valid").metrics == result.metrics


def test_a_part_in_time_is_scored_by_its_next_events(walks):
    split = sequence_split(walks, how="temporal")
    recommender = in_order("markov").fit(split)
    assert recommender.score(split).protocol == "strict"
    assert recommender.score(split, part="valid").counts["targets"] == int((split.valid.lengths > 0).sum())
    strangers = int((split.histories("test").lengths == 0)[split.test.lengths > 0].sum())
    assert recommender.score(split).counts["users_without_history"] == strangers


def test_a_sequential_method_is_scored_on_sequences_alone(sequences, walks):
    recommender = in_order("markov").fit(sequences)
    with pytest.raises(InputError, match="markov goes by the order of events: score it on a SequenceSplit"):
        recommender.score(sequences.split)
    with pytest.raises(InputError, match="trained on other interactions"):
        in_order("markov").fit(sequences.histories("test").extended(sequences.test)).score(sequences)


def test_what_sequential_methods_attribute(sequences, walks):
    recommender = in_order().fit(sequences)
    assert recommender.user_embedding_.shape == (60, 16)
    assert recommender.item_embedding_.shape == (20, 16)
    assert recommender.n_interactions_ == sequences.split.train.num_interactions
    scores = recommender.scorer_.score(torch.arange(60)).numpy()
    np.testing.assert_allclose(recommender.user_embedding_ @ recommender.item_embedding_.T, scores, atol=1e-5)
    assert in_order("markov").fit(walks).embedding_ is None
    assert clone(recommender).mask_seen is True
