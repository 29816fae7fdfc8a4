from __future__ import annotations

import csv

import numpy as np
import polars as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphcl.evaluation.choose_k import ChoiceOfK
from graphcl.evaluation.cluster_quality import cluster_quality
from graphcl.tasks.clusters_table import cluster_rows, write_choice, write_cluster_rows, write_clusters
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


def test_one_row_a_cluster_the_largest_first_and_nothing_where_nothing_is_defined(tmp_path):
    labels, confidence = np.array([1, 0, 0, 0]), np.array([0.5, 0.25, 0.5, 0.75], dtype=np.float32)
    quality = cluster_quality(torch.tensor([[1, 2], [2, 1]]), labels, np.eye(4)[:, :2], n_clusters=3)
    rows = cluster_rows(quality, labels, confidence)
    assert [(row["cluster"], row["size"], row["share"]) for row in rows] == [(0, 3, 0.75), (1, 1, 0.25), (2, 0, 0)]
    assert rows[0]["confidence"] == 0.5
    assert rows[2] == {"cluster": 2, "size": 0, "share": 0, "confidence": None, "conductance": None, "silhouette": None}
    path = write_cluster_rows(RunFolder(tmp_path), rows)
    frame = pl.read_csv(path)
    assert path.name == "clusters_summary.csv"
    assert frame.columns == list(rows[0])
    assert frame["size"].to_list() == [3, 1, 0]


def test_what_was_tried_for_k_is_a_table(tmp_path):
    values = {"modularity": (float("nan"), float("nan")), "combined": (0.25, 1.0)}
    path = write_choice(RunFolder(tmp_path), ChoiceOfK(3, "combined", (2, 3), values))
    assert path.read_text() == "k,modularity,combined,chosen\n2,,0.250000,false\n3,,1.000000,true\n"
