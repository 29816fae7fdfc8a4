from __future__ import annotations

import csv

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from graphcl.tasks.clusters_table import write_clusters
from graphcl.training import RunFolder

ODD = ["007", "a,b", 'say "hi"', "  padded ", "Zoë", "日本", "", "two\nlines", "1e5", "null", "'", "-", "=1+1"]


def write(folder, ids):
    count = len(ids)
    labels, confidence = np.arange(count) % 3, np.linspace(0, 1, count, dtype=np.float32)
    return write_clusters(RunFolder(folder), ids, labels, confidence), labels, confidence


def test_odd_ids_come_back_unchanged_and_in_order(tmp_path):
    path, labels, confidence = write(tmp_path, ODD)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert path.name == "clusters.csv"
    assert list(rows[0]) == ["id", "cluster", "confidence"]
    assert [row["id"] for row in rows] == ODD
    assert [int(row["cluster"]) for row in rows] == labels.tolist()
    np.testing.assert_allclose([float(row["confidence"]) for row in rows], confidence, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    ids=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"), min_size=1), min_size=1, max_size=6, unique=True
    )
)
def test_any_text_survives_the_round_trip(tmp_path_factory, ids):
    path, *_ = write(tmp_path_factory.mktemp("run"), ids)
    assert pl.read_csv(path, schema_overrides={"id": pl.String})["id"].to_list() == ids


def test_nothing_but_the_table_is_left(tmp_path):
    write(tmp_path / "run", ["a"])
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["clusters.csv"]
