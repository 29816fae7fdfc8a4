from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import load_file

from graphcl.errors import InputError
from graphcl.recsys.data import load
from graphcl.tasks.recommender import Recommender
from graphcl.training import TrainingConfig


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    training = TrainingConfig(epochs=2, device="cpu")
    return Recommender("lightgcn", params={"dim": 8}, training=training).fit(load("davis"))


@pytest.mark.parametrize("ending", ["npy", "parquet", "safetensors"])
def test_rows_ids_and_metric_are_all_there(recommender, tmp_path, ending):
    path = recommender.export_embeddings(tmp_path / f"vectors.{ending}")
    if ending == "parquet":
        frame = pl.read_parquet(path)
        ids, rows = frame.select("side", "id"), frame.select(pl.col("^e\\d+$")).to_numpy()
    else:
        ids = pl.read_csv(tmp_path / "vectors.ids.csv")
        rows = np.load(path) if ending == "npy" else np.concatenate([load_file(path)[side] for side in ("users", "items")])
    np.testing.assert_array_equal(rows, recommender.embedding_)
    assert rows.dtype == np.float32
    users, items = recommender.trained_.users.ids.to_list(), recommender.trained_.items.ids.to_list()
    assert ids.rows() == [*(("user", name) for name in users), *(("item", name) for name in items)]
    about = json.loads((tmp_path / "vectors.about.json").read_text())
    assert (about["metric"], about["normalised"], about["dim"]) == ("inner product", False, 8)
    assert about["users_sha256"] == recommender.trained_.users.sha256
    scores = rows[:18] @ rows[18:].T
    np.testing.assert_allclose(scores, recommender.scorer_.score(torch.arange(18)).numpy(), rtol=1e-5, atol=1e-7)


def test_what_cannot_be_written_is_refused(recommender, tmp_path):
    with pytest.raises(InputError, match=r"expected a file ending in \.npy, \.parquet or \.safetensors"):
        recommender.export_embeddings(tmp_path / "vectors.csv")
    with pytest.raises(InputError, match="there is no folder"):
        recommender.export_embeddings(tmp_path / "nowhere" / "vectors.npy")
    with pytest.raises(InputError, match="ease scores without embeddings"):
        Recommender("ease").fit(load("davis")).export_embeddings(tmp_path / "vectors.npy")
    assert not list(tmp_path.iterdir())


def test_histories_and_items_of_a_sequential_system_are_exported_and_markov_has_none(walks, tmp_path):
    params = {"dim": 8, "layers": 1, "max_length": 8, "batch_size": 64}
    recommender = Recommender("sasrec", params=params, training=TrainingConfig(epochs=1, device="cpu")).fit(walks)
    frame = pl.read_parquet(recommender.export_embeddings(tmp_path / "e.parquet"))
    assert frame["side"].value_counts(sort=True).rows() == [("user", 60), ("item", 20)]
    rows = frame.drop("side", "id").to_numpy()
    scores = recommender.scorer_.score(torch.arange(60)).numpy()
    np.testing.assert_allclose(rows[:60] @ rows[60:].T, scores, atol=1e-5)
    with pytest.raises(InputError, match="markov scores without embeddings"):
        Recommender("markov").fit(walks).export_embeddings(tmp_path / "m.npy")
