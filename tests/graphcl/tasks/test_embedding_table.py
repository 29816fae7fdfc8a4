from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from graphcl.errors import InputError
from graphcl.tasks import embedding_table
from graphcl.tasks.embedding_table import check_target, write_embeddings

ODD = ["007", "a,b", 'say "hi"', "  padded ", "Zoë", "two\nlines", "1e5", "null"]


def back(path):
    if path.suffix == ".npy":
        ids = pl.read_csv(path.with_suffix(".ids.csv"), schema_overrides={"id": pl.String})["id"].to_list()
        return ids, np.load(path, allow_pickle=False)
    frame = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, schema_overrides={"id": pl.String})
    assert frame.columns == ["id", "e0", "e1", "e2"]
    return frame["id"].to_list(), frame.drop("id").to_numpy().astype(np.float32)


@pytest.mark.parametrize("name", ["e.csv", "e.parquet", "e.npy", "E.CSV"])
def test_ids_and_numbers_come_back_exactly(tmp_path, name):
    embedding = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32) * np.float32(1e-3) ** np.arange(
        3, dtype=np.float32
    )
    write_embeddings(tmp_path / name, ODD, embedding)
    path = (tmp_path / name).rename(tmp_path / name.lower())
    ids, numbers = back(path)
    assert ids == ODD
    np.testing.assert_array_equal(numbers, embedding)


def test_a_writer_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(*args, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(pl.DataFrame, "write_csv", fail)
    with pytest.raises(KeyboardInterrupt):
        write_embeddings(tmp_path / "e.csv", ["a"], np.zeros((1, 1), dtype=np.float32))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("e.txt", "expected a file ending in .csv, .parquet or .npy"),
        ("e", "expected a file ending in .csv, .parquet or .npy"),
        ("there.csv", "there.csv is there already; name another file, or remove it"),
        ("there.npy", "there.ids.csv is there already"),
        ("none/e.csv", "there is no folder .*none; make it first"),
    ],
)
def test_a_target_that_cannot_be_written_is_refused_beforehand(tmp_path, name, message):
    (tmp_path / "there.csv").write_text("mine")
    (tmp_path / "there.ids.csv").write_text("mine")
    with pytest.raises(InputError, match=message):
        check_target(tmp_path / name)


def test_a_folder_without_permission_is_refused_beforehand(tmp_path, monkeypatch):
    monkeypatch.setattr(embedding_table.os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match=r"cannot write to .*; name another folder"):
        check_target(tmp_path / "e.csv")
    monkeypatch.undo()
    check_target(tmp_path / "e.csv")
