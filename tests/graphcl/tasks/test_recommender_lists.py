from __future__ import annotations

import sys

import numpy as np
import polars as pl
import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.data import IdMap, Interactions, load
from graphcl.recsys.methods import ANCHORS
from graphcl.tasks.recommender import Recommender
from graphcl.training import TrainingConfig

PARAMS = {"ease": {"l2": 5.0}, "gf-cf": {"rank": 5}, "ials": {"dim": 4, "sweeps": 3}, "lightgcn": {"dim": 8, "layers": 2}}
METHODS = (*(name for name, entry in ANCHORS.items() if entry.task == "recommendation"), "lightgcn")


def made(method: str = "lightgcn") -> Recommender:
    training = TrainingConfig(epochs=5, lr=0.05, device="cpu")
    return Recommender(method, params=PARAMS.get(method), training=training, selection="last")


@pytest.fixture(scope="module")
def cold() -> Interactions:
    """Users a to e, of whom e has nothing; items 10 to 70, of which 70 nobody has; 20 is everybody's."""
    rows = [[0, 1, 2], [1, 2, 3], [0, 1, 4], [1, 5], []]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    indices = np.array([item for row in rows for item in row], dtype=np.int32)
    return Interactions(IdMap.of(list("abcde"), "user"), IdMap.of(range(10, 80, 10), "item"), indptr, indices)


def pairs(frame: pl.DataFrame) -> list[tuple[str, int]]:
    return list(zip(frame["user"], frame["item"], strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_lists_are_the_best_unseen_items_that_training_knows(cold, method):
    recommender = made(method).fit(cold)
    scores = recommender.scorer_.score(torch.arange(5))
    frame = recommender.recommend(k=7)
    for user, name in enumerate("abcd"):
        seen = cold.user_items(user).tolist()
        left = [item for item in range(6) if item not in seen]
        order = sorted(left, key=lambda item: (-float(scores[user, item]), item))
        mine = frame.filter(pl.col("user") == name)
        assert mine["item"].to_list() == [10 * (item + 1) for item in order]
        np.testing.assert_allclose(mine["score"].to_numpy(), [float(scores[user, item]) for item in order], rtol=1e-6)
        assert set(mine["source"]) == {"model"}
    assert 70 not in frame["item"].to_list()
    assert frame.columns == ["user", "item", "score", "rank", "source"]


@pytest.mark.parametrize("method", METHODS)
def test_users_without_a_row_get_popular_items_and_are_marked(cold, method):
    frame = made(method).fit(cold).recommend(["e", "stranger", "a"], k=3)
    for name in ("e", "stranger"):
        mine = frame.filter(pl.col("user") == name)
        assert mine["item"].to_list() == [20, 10, 30]
        assert mine["score"].to_list() == [4.0, 2.0, 2.0]
        assert mine["source"].to_list() == ["fallback"] * 3
    assert frame["user"].unique(maintain_order=True).to_list() == ["e", "stranger", "a"]


def test_unknown_users_are_skipped_or_refused_on_request(cold):
    recommender = made("ease").fit(cold)
    assert recommender.recommend(["x", "b", "e", "a"], on_unknown="skip")["user"].unique(maintain_order=True).to_list() == [
        "b",
        "a",
    ]
    assert recommender.recommend(["x"], on_unknown="skip").height == 0
    with pytest.raises(InputError, match="users without a training row: 'x', 'e'; on_unknown='fallback'"):
        recommender.recommend(["x", "b", "e"], on_unknown="raise")
    with pytest.raises(InputError, match="unknown policy for unknown ids 'drop'"):
        recommender.recommend(["x"], on_unknown="drop")


def test_seen_items_are_listed_on_request(cold):
    recommender = made("popularity").fit(cold)
    assert recommender.recommend(["a"], k=2)["item"].to_list() == [40, 50]
    assert recommender.recommend(["a"], k=2, filter_seen=False)["item"].to_list() == [20, 10]


@pytest.mark.parametrize("users", [["a"], ["e"]])
def test_candidates_and_exclusions_hold_for_model_and_fallback(cold, users):
    recommender = made("ease").fit(cold)
    found = recommender.recommend(users, filter_seen=False, candidates=[20, 30, 70, 99], exclude=[20, "nothing"])
    assert found["item"].to_list() == [30]
    assert recommender.recommend(users, filter_seen=False, candidates=["30"])["item"].to_list() == [30]
    with pytest.raises(InputError, match="no item is left to list"):
        recommender.recommend(users, candidates=[70])
    with pytest.raises(InputError, match="unknown item ids: 99"):
        recommender.recommend(["a"], candidates=[20, 99], on_unknown="raise")


def test_ids_come_back_in_the_callers_spelling(cold):
    numbers = Interactions(IdMap.count(5, "user"), cold.items, cold.indptr, cold.indices)
    recommender = made("ease").fit(numbers)
    assert recommender.recommend(k=1)["user"].dtype == pl.Int64
    text = recommender.recommend(["1", "x"], k=1)
    assert text["user"].to_list() == ["1", "x"]
    assert text["source"].to_list() == ["model", "fallback"]
    with pytest.raises(InputError, match="expected user ids without gaps, number 1 is missing"):
        recommender.recommend(["1", None])
    with pytest.raises(InputError, match="for one id give"):
        recommender.recommend("1")
    with pytest.raises(InputError, match="k must be 1 or more; got 0"):
        recommender.recommend(k=0)


@pytest.mark.parametrize("method", ["popularity", "item-knn", "ease", "gf-cf"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_training_history_folded_in_is_its_user(cold, method, chunked, monkeypatch):
    if chunked:
        monkeypatch.setattr(sys.modules["graphcl.recsys.ranking.top_k"], "BYTES", 1)  # the package has a function of that name
    recommender = made(method).fit(cold)
    history = pl.DataFrame(
        {"who": cold.users.decode(cold.rows), "what": cold.items.decode(cold.indices)}
    )  # fmt: skip
    folded = recommender.fold_in(history, 4, user="who", item="what")
    wanted = recommender.recommend(list("abcd"), 4)
    assert pairs(folded) == pairs(wanted)
    np.testing.assert_array_equal(folded["score"], wanted["score"])
    assert set(folded["source"]) == {"model"}


def test_ials_folds_in_by_the_solve_that_training_ended_with():
    split = load("davis")
    recommender = made("ials").fit(split)
    rows = pl.DataFrame({"user": split.users.decode(split.train.rows), "item": split.items.decode(split.train.indices)})
    folded, wanted = recommender.fold_in(rows, 5), recommender.recommend(rows["user"].unique(maintain_order=True), 5)
    assert pairs(folded) == pairs(wanted)
    np.testing.assert_allclose(folded["score"], wanted["score"], rtol=1e-4, atol=1e-5)


def test_systems_place_new_users_approximately_and_say_so(cold):
    recommender = made().fit(cold)
    found = recommender.fold_in([10, 30, 999, 70], 6, filter_seen=False)
    q, degree = recommender.item_embedding_, [2, 4, 2, 1, 1, 1]
    p = q[0] / (2 * degree[0]) ** 0.5 + q[2] / (2 * degree[2]) ** 0.5
    order = np.argsort(-(q[:6] @ p), kind="stable")
    assert found["item"].to_list() == [10 * (item + 1) for item in order]
    np.testing.assert_allclose(found["score"], (q[:6] @ p)[order], rtol=1e-5)
    assert set(found["source"]) == {"approximate"}
    assert set(found["user"]) == {"new"}
    assert not {10, 30} & set(recommender.fold_in([10, 30])["item"])


def test_histories_that_training_knows_nothing_of_fall_back(cold):
    recommender = made("ease").fit(cold)
    for history in ([], [999], [70], ["unspellable"]):
        found = recommender.fold_in(history, 2)
        assert found["item"].to_list() == [20, 10]
        assert found["source"].to_list() == ["fallback"] * 2
    frame = pl.DataFrame({"user": ["n", "m", "n"], "item": [999, 10, 10]})
    assert recommender.fold_in(frame, 1)["source"].to_list() == ["model", "model"]
    assert recommender.fold_in(frame.filter(pl.col("user") == "n").head(1), 1, on_unknown="skip").height == 0
    with pytest.raises(InputError, match="unknown item ids in the history: 999"):
        recommender.fold_in(frame, on_unknown="raise")
    with pytest.raises(InputError, match="no user"):
        recommender.fold_in(pl.DataFrame({"user": ["n", None], "item": [10, 20]}))


def test_similar_items_by_cosine_of_embeddings(cold):
    recommender = made().fit(cold)
    unit = recommender.item_embedding_[:6] / np.linalg.norm(recommender.item_embedding_[:6], axis=1, keepdims=True)
    found = recommender.similar_items([30, 10], k=5)
    for item, number in ((30, 2), (10, 0)):
        mine = found.filter(pl.col("item") == item)
        near = unit @ unit[number]
        order = [other for other in np.argsort(-near, kind="stable") if other != number]
        assert mine["similar"].to_list() == [10 * (other + 1) for other in order]
        np.testing.assert_allclose(mine["score"], near[order], atol=1e-6)
    assert found["item"].unique(maintain_order=True).to_list() == [30, 10]


@pytest.mark.parametrize("method", ["item-knn", "ease"])
def test_similar_items_by_the_weights_of_an_item(cold, method):
    recommender = made(method).fit(cold)
    weights = recommender.trained_.model.weights_
    dense = np.asarray(weights.todense() if hasattr(weights, "todense") else weights)
    found = recommender.similar_items([20], k=3)
    np.testing.assert_allclose(found["score"], np.sort(dense[1, [0, 2, 3, 4, 5]])[::-1][:3], rtol=1e-6)
    assert found["rank"].to_list() == [1, 2, 3]


def test_items_like_no_other_are_refused(cold):
    with pytest.raises(InputError, match="popularity knows no likeness"):
        made("popularity").fit(cold).similar_items([20])
    recommender = made("ease").fit(cold)
    with pytest.raises(InputError, match="items without a training row are like no other: 70"):
        recommender.similar_items([20, 70])
    with pytest.raises(InputError, match="unknown item ids: 5"):
        recommender.similar_items([5])


def ordered(method: str, walks, **more) -> Recommender:
    params = {"dim": 16, "layers": 1, "heads": 1, "dropout": 0.1, "max_length": 8, "batch_size": 32}
    training = TrainingConfig(epochs=12, lr=0.01, device="cpu")
    return Recommender(
        method, params=params if method == "sasrec" else None, training=training, every=4, **more
    ).fit(walks)  # fmt: skip


def history(walks, user: str) -> list[str]:
    rows = walks.by_time()
    own = rows[walks.user[rows] == int(walks.users.encode([user])[0])]
    return walks.items.decode(walks.item[own]).to_list()


@pytest.mark.parametrize("method", ["markov", "sasrec"])
def test_a_given_history_has_the_list_of_a_known_one(walks, method):
    recommender = ordered(method, walks)
    for user in ("u03", "u41"):
        mine = recommender.recommend([user], k=5)
        given = recommender.fold_in(history(walks, user), k=5)
        assert given["item"].to_list() == mine["item"].to_list()
        np.testing.assert_allclose(given["score"], mine["score"], rtol=1e-5)
        assert set(given["source"]) == {"model"}
        assert not set(given["item"]) & set(history(walks, user))
    assert recommender.unknown_items_ == 0
    everybody = recommender.recommend(k=5)
    assert everybody.filter(pl.col("user") == "u41")["item"].to_list() == mine["item"].to_list()


@pytest.mark.parametrize("method", ["markov", "sasrec"])
def test_the_order_of_a_history_decides(walks, method):
    recommender = ordered(method, walks)
    path = ["i03", "i04", "i05"]
    forward, backward = recommender.fold_in(path, k=3), recommender.fold_in(path[::-1], k=3)
    assert forward["item"][0] == "i06"
    assert not forward.equals(backward)
    rows = pl.DataFrame({"user": ["x"] * 3, "item": path[::-1], "time": [30, 20, 10]})
    assert recommender.fold_in(rows, k=3)["item"].to_list() == forward["item"].to_list()


def test_unknown_items_of_a_history_are_dropped_and_counted(walks):
    recommender = ordered("sasrec", walks)
    plain = recommender.fold_in(["i03", "i04"], k=3)
    assert recommender.fold_in(["nobody", "i03", "i04", "had this"], k=3).equals(plain)
    assert recommender.unknown_items_ == 2
    alone = recommender.fold_in(["nobody"], k=3)
    assert set(alone["source"]) == {"fallback"}
    with pytest.raises(InputError, match="unknown item ids in the history: 'nobody'"):
        recommender.fold_in(["i03", "nobody"], on_unknown="raise")


def test_strangers_get_popular_items_from_a_sequential_method(walks):
    recommender = ordered("sasrec", walks)
    found = recommender.recommend(["u03", "stranger"], k=3)
    assert found.filter(pl.col("user") == "stranger")["source"].unique().to_list() == ["fallback"]
    popular = ordered("popularity", walks).recommend(["stranger"], k=3)
    assert found.filter(pl.col("user") == "stranger")["item"].to_list() == popular["item"].to_list()
    assert recommender.recommend(["stranger"], on_unknown="skip").height == 0


def test_after_an_item_comes_the_next_for_markov(walks):
    assert ordered("markov", walks).similar_items(["i07", "i11"], k=1)["similar"].to_list() == ["i08", "i12"]
    near = ordered("sasrec", walks).similar_items(["i07"], k=19)
    assert "i07" not in near["similar"].to_list()
    assert near["score"].abs().max() <= 1 + 1e-6
