from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.data import IdMap, Interactions, load
from graphcl.recsys.methods import ANCHORS
from graphcl.recsys.sequences import sequence_split
from graphcl.tasks.recommender import Recommender
from graphcl.tasks.recommender_store import ABOUT, ITEMS, ORDER, ROWS, USERS, WEIGHTS, TrainedRecommender
from graphcl.training import TrainingConfig

PARAMS = {"ease": {"l2": 5.0}, "gf-cf": {"rank": 5}, "ials": {"dim": 4, "sweeps": 3}, "lightgcn": {"dim": 8, "layers": 2}}
FILES = {ABOUT, ITEMS, ROWS, USERS, WEIGHTS}


def fitted(method: str = "lightgcn", seed: int = 0) -> Recommender:
    training = TrainingConfig(epochs=4, lr=0.05, device="cpu")
    return Recommender(method, params=PARAMS.get(method), training=training, every=2, seed=seed).fit(load("davis"))


@pytest.fixture
def saved(tmp_path) -> Path:
    return fitted().save(tmp_path / "model")


@pytest.mark.parametrize("method", [*(name for name, entry in ANCHORS.items() if entry.task == "recommendation"), "lightgcn"])
def test_what_comes_back_recommends_the_same_bit_for_bit(method, tmp_path):
    before = fitted(method)
    after = Recommender.load(before.save(tmp_path / "model"), device="cpu")
    assert {path.name for path in (tmp_path / "model").iterdir()} == FILES
    assert after.recommend(k=14).equals(before.recommend(k=14))
    assert after.fold_in(["E3", "E5"]).equals(before.fold_in(["E3", "E5"]))
    assert after.score(load("davis")).metrics == before.score(load("davis")).metrics
    assert (after.method, after.params, after.seed) == (method, PARAMS.get(method, {}), 0)
    assert after.training == before.training
    assert after.best_epoch_ == before.best_epoch_
    if method != "popularity":
        assert after.similar_items(["E1"]).equals(before.similar_items(["E1"]))
    if before.embedding_ is not None:
        np.testing.assert_array_equal(after.embedding_, before.embedding_)
    again = after.save(tmp_path / "again")
    assert (again / WEIGHTS).read_bytes() == (tmp_path / "model" / WEIGHTS).read_bytes()


def test_ids_of_any_kind_survive(tmp_path):
    rows = Interactions(
        IdMap.of(["007", "7", "größe"], "user"), IdMap.of([3, 2**40], "item"), np.array([0, 2, 3, 4]),
        np.array([0, 1, 0, 1], dtype=np.int32),
    )  # fmt: skip
    before = Recommender("item-knn").fit(rows)
    after = Recommender.load(before.save(tmp_path / "model"))
    assert after.recommend(["größe"])["item"].to_list() == [3]
    assert after.recommend().equals(before.recommend())


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_that_is_cut_short_or_missing_gives_one_line(saved, name):
    whole = (saved / name).read_bytes()
    (saved / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError) as cut:
        Recommender.load(saved)
    assert name in str(cut.value)
    assert "\n" not in str(cut.value)
    (saved / name).unlink()
    with pytest.raises(InputError, match=name):
        Recommender.load(saved)


@pytest.mark.parametrize("name", sorted(FILES - {ABOUT}))
def test_a_changed_bit_is_found(saved, name):
    content = bytearray((saved / name).read_bytes())
    content[len(content) // 2] ^= 1
    (saved / name).write_bytes(bytes(content))
    with pytest.raises(InputError):
        Recommender.load(saved)


def test_files_of_two_models_are_not_mixed(saved, tmp_path):
    split = load("davis")
    order = [*split.users.ids[1:], split.users.ids[0]]
    other = Recommender("ease").fit(
        Interactions(IdMap.of(order, "user"), split.items, split.train.indptr, split.train.indices)
    ).save(tmp_path / "other")  # fmt: skip
    for name, match in ((USERS, "the user ids are not those of the model"), (WEIGHTS, "files are not of one model")):
        whole = (saved / name).read_bytes()
        (saved / name).write_bytes((other / name).read_bytes())
        with pytest.raises(InputError, match=match):
            Recommender.load(saved)
        (saved / name).write_bytes(whole)
    Recommender.load(saved)


def test_a_description_that_was_changed_is_refused(saved):
    about = json.loads((saved / ABOUT).read_text())
    for change, match in (
        ({"format": 2}, "reads up to 1"),
        ({"task": "node"}, "describes no recommender"),
        ({"system": "ease"}, "was changed"),
        ({"seed": "first"}, "was changed"),
        ({"system": "nothing"}, "unknown recommendation method"),
        ({"rows": "0" * 16}, "files are not of one model"),
    ):
        (saved / ABOUT).write_text(json.dumps({**about, **change}))
        with pytest.raises(InputError, match=match):
            Recommender.load(saved)


def test_folders_without_a_model_are_refused(tmp_path):
    with pytest.raises(InputError, match="there is no such folder"):
        TrainedRecommender.read(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"holds no trained recommender, for want of model\.json"):
        TrainedRecommender.read(tmp_path)


def test_its_size_is_that_of_its_arrays():
    trained = fitted().trained_
    assert trained.num_bytes == 4 * 8 * (18 + 14) + 8 * 19 + 4 * len(trained.rows.indices)


def test_settings_are_kept_as_plain_values(tmp_path):
    split = load("davis")
    path = Recommender("ease", params={"l2": np.float32(5)}).fit(split).save(tmp_path / "model")
    assert Recommender.load(path).params == {"l2": 5.0}
    odd = Recommender("item-knn", params={"neighbours": 5, "shrinkage": np.float64(1)}).fit(split)
    object.__setattr__(odd.trained_, "params", {"shrinkage": {1, 2}})
    with pytest.raises(InputError, match=r"the parameter shrinkage = .* cannot be kept on disk"):
        odd.save(tmp_path / "odd")
    assert not (tmp_path / "odd").exists()


@pytest.mark.parametrize("method", ["markov", "sasrec", "gru4rec", "icsrec"])
def test_a_sequential_method_comes_back_bit_for_bit(method, walks, tmp_path):
    params = {} if method == "markov" else {"dim": 8, "layers": 1, "max_length": 8, "batch_size": 64}
    split = sequence_split(walks)
    training = TrainingConfig(epochs=2, lr=0.02, device="cpu")
    before = Recommender(method, params=params, training=training, every=1).fit(split)
    state = torch.random.get_rng_state()
    after = Recommender.load(before.save(tmp_path / "model"), device="cpu")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert {path.name for path in (tmp_path / "model").iterdir()} == {ABOUT, ITEMS, ORDER, USERS, WEIGHTS}
    assert after.recommend(k=20).equals(before.recommend(k=20))
    assert after.fold_in(["i03", "i04"]).equals(before.fold_in(["i03", "i04"]))
    assert after.similar_items(["i01"]).equals(before.similar_items(["i01"]))
    assert after.score(split).metrics == before.score(split).metrics
    assert after.trained_.order.sha256 == before.trained_.order.sha256
    assert after.trained_.num_bytes == before.trained_.num_bytes > 0
    again = after.save(tmp_path / "again")
    assert (again / WEIGHTS).read_bytes() == (tmp_path / "model" / WEIGHTS).read_bytes()


def test_sequences_of_another_model_are_noticed(walks, tmp_path):
    first = Recommender("markov").fit(walks).save(tmp_path / "first")
    other = Recommender("markov").fit(walks.take(np.arange(300))).save(tmp_path / "other")
    (first / ORDER).write_bytes((other / ORDER).read_bytes())
    with pytest.raises(InputError, match=r"files are not of one model|expected indptr"):
        Recommender.load(first)
    (first / ORDER).unlink()
    with pytest.raises(InputError, match=ORDER):
        Recommender.load(first)


def test_methods_without_an_order_say_so(walks):
    with pytest.raises(InputError, match="popularity does not go by the order of events"):
        Recommender("popularity").fit(walks).trained_.scorer_after(sequence_split(walks).train)
