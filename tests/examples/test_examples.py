"""Every example runs as a stranger would run it, from another folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("[0-9]*.py"))


def run(script: Path, folder: Path) -> str:
    # One thread: two that wait for each other take many times as long on a machine that has other work.
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_short_and_says_how_to_run_it(script):
    text = script.read_text()
    assert len(text.splitlines()) < 80
    assert f"Run: python examples/{script.name}" in text


def test_the_digits_example_beats_kmeans(tmp_path):
    lines = run(EXAMPLES[0], tmp_path).splitlines()
    accuracy = {line.split("{")[0].strip(): float(line.split("'acc': '")[1][:5]) for line in lines if "'acc'" in line}
    assert accuracy["PamC"] >= accuracy["k-means on pixels"]
    assert accuracy["PamC"] > 0.90
    assert not list(tmp_path.iterdir())


def test_the_csv_example_names_every_character_once(tmp_path):
    lines = run(EXAMPLES[1], tmp_path).splitlines()
    assert lines[0].startswith("kept: 77 nodes, 254")
    sizes = [int(line.split(": ")[1].split()[0]) for line in lines[1:]]
    assert len(sizes) == 6
    assert sum(sizes) == 77


def test_the_two_towers_find_unseen_partners_far_above_chance(tmp_path):
    lines = run(EXAMPLES[2], tmp_path).splitlines()
    recall = {" ".join(line.split()[:2]).split(" recall")[0]: float(line.split("@10 ")[1].split()[0]) for line in lines}
    assert recall["chance"] == pytest.approx(10 / 397, abs=1e-3)
    assert recall["step 100"] > max(0.6, recall["step 1"])


def test_the_table_of_losses_has_a_score_and_a_time_for_each(tmp_path):
    out = run(EXAMPLES[3], tmp_path)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]
    assert len(rows) == 11
    assert all(float(accuracy) > 0.6 and float(seconds) > 0 for _, accuracy, seconds in rows)
    scores = {name: float(accuracy) for name, accuracy, _ in rows}
    assert scores["InfoNCE, meta-nodes"] == pytest.approx(scores["InfoNCE, exact"], abs=0.05)
    assert "exact is cheaper" in out


def test_the_recommenders_are_scored_and_the_saved_one_recommends_the_same(tmp_path):
    out = run(EXAMPLES[4], tmp_path)
    scores = {line.split()[0]: float(line.split("ndcg@10 ")[1].split()[0]) for line in out.splitlines() if "ndcg@10 " in line}
    assert set(scores) == {"popularity", "item-knn", "ease", "gf-cf", "lightgcn"}
    assert all(0.3 < value < 1 for value in scores.values())
    for source in ("model", "fallback", "approximate"):
        assert f" {source} " in out
    assert "the saved model recommends the same: True" in out
    assert not list(tmp_path.iterdir())


def test_the_large_graph_is_trained_on_in_batches_and_its_communities_are_found(tmp_path):
    script = next(path for path in EXAMPLES if path.name == "06_million_nodes.py")
    lines = run(script, tmp_path).splitlines()
    assert lines[0].startswith("4,000 nodes, 40,000 edges in ")
    assert lines[1].startswith("trained 3 epochs of 8 steps in ")
    found = {line.split()[5]: float(line.split("finds ")[1][:5]) for line in lines if "finds " in line}
    assert found["embedding"] > 0.9 > found["features"]
    assert not list(tmp_path.iterdir())


def test_clusters_of_a_large_graph_are_found_in_batches_where_its_features_show_none(tmp_path):
    script = next(path for path in EXAMPLES if path.name == "07_cluster_a_million_nodes.py")
    lines = run(script, tmp_path).splitlines()
    assert lines[0].startswith("20,000 nodes, 200,000 edges in ")
    ari = {line.split(" ARI ")[0].strip(): float(line.split(" ARI ")[1].split()[0]) for line in lines[1:]}
    assert set(ari) == {"PamC", "k-means, features", "k-means, filtered features"}
    assert ari["PamC"] > 0.95
    assert ari["k-means, features"] < 0.1
    assert not list(tmp_path.iterdir())
