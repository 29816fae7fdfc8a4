from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
import yaml

QUICK = [
    "--device",
    "cpu",
    "--set",
    "hidden=16",
    "--set",
    "width=8",
    "--set",
    "n_init=2",
    "--epochs",
    "40",
    "--set",
    "warmup=30",
]
BRIEF = ["--device", "cpu", "--epochs", "2", "--set", "hidden=8", "--set", "n_init=2"]


def clusters(path):
    return pl.read_csv(path / "clusters.csv", schema_overrides={"id": pl.String})


def purity(frame, communities):
    """Share of nodes on the better of the two ways to match two clusters to the two communities."""
    side = np.array([row[3] == "R" for row in communities["nodes"]])
    agree = float((frame["cluster"].to_numpy() == side).mean())
    return max(agree, 1 - agree)


def check(frame, communities):
    assert frame.columns == ["id", "cluster", "confidence"]
    assert frame["id"].to_list() == [row[0] for row in communities["nodes"]]
    assert set(frame["cluster"]) == {0, 1}
    assert frame["confidence"].is_between(0.5, 1).all(), "the larger of two shares"
    assert purity(frame, communities) >= 0.9


def test_planted_communities_are_found_and_every_id_comes_back_in_order(cli, tables, communities, tmp_path):
    edges, nodes = tables()
    answer = cli("cluster", "--edges", edges, "--nodes", nodes, "--k", 2, *QUICK, "--out", "r")
    assert answer.code == 0, answer.err
    check(clusters(tmp_path / "r"), communities)
    said = answer.out.splitlines()
    assert said[0] == "run folder: r"
    assert said[-2:] == ["clusters: r/clusters.csv", "summary: r/clusters_summary.csv"]
    metrics = json.loads((tmp_path / "r" / "metrics.json").read_text())
    assert metrics["metrics"] == {}
    assert said[1] == ", ".join(f"{name} {metrics['quality'][name]['mean']:.4f}" for name in metrics["quality"])
    summary = pl.read_csv(tmp_path / "r" / "clusters_summary.csv")
    assert summary.columns == ["cluster", "size", "share", "confidence", "conductance", "silhouette"]
    assert [line.split()[:2] for line in said[3:5]] == [[str(a), str(b)] for a, b in summary[:, :2].rows()]
    assert sorted(summary["size"]) == sorted(clusters(tmp_path / "r")["cluster"].value_counts()["count"])
    assert (metrics["dataset"], metrics["seeds"], metrics["protocol"]["n_clusters"]) == ("nodes", [0], 2)
    assert "results.md" not in {path.name for path in (tmp_path / "r").iterdir()}


def test_a_label_column_is_scored_counts_the_clusters_and_changes_nothing(cli, tables, communities, tmp_path):
    edges, nodes = tables()
    assert cli("cluster", "--edges", edges, "--nodes", nodes, "--k", 2, *QUICK, "--out", "without").code == 0
    edges, nodes = tables(label=True)
    answer = cli("cluster", "--edges", edges, "--nodes", nodes, *QUICK, "--out", "with")
    assert answer.code == 0, answer.err
    frame = clusters(tmp_path / "with")
    assert frame.equals(clusters(tmp_path / "without"))
    metrics = json.loads((tmp_path / "with" / "metrics.json").read_text())
    assert metrics["metrics"]["acc"]["mean"] == pytest.approx(purity(frame, communities))
    assert "kmeans-raw" in answer.out


def test_the_number_of_clusters_is_chosen_on_request_and_what_spoke_for_it_is_kept(cli, tables, communities, tmp_path):
    edges, nodes = tables()
    answer = cli("cluster", "--edges", edges, "--nodes", nodes, "--k", "auto", "--k-range", "2:5", *QUICK, "--out", "r")
    assert answer.code == 0, answer.err
    assert "k = 2 of 2 .. 5, chosen by combined: modularity 0." in answer.err
    check(clusters(tmp_path / "r"), communities)
    tried = pl.read_csv(tmp_path / "r" / "k.csv")
    assert tried["k"].to_list() == [2, 3, 4, 5]
    assert tried.filter(pl.col("chosen"))["k"].to_list() == [2]
    assert (tmp_path / "r" / "k.png").read_bytes()[:4] == b"\x89PNG"
    assert yaml.safe_load((tmp_path / "r" / "config.yaml").read_text())["n_clusters"] == 2


@pytest.mark.parametrize("ending", ["parquet", "npz"])
def test_other_formats_give_the_same_clusters(cli, tables, communities, tmp_path, ending):
    edges, nodes = tables()
    assert cli("cluster", "--edges", edges, "--nodes", nodes, "--k", 2, *BRIEF, "--out", "csv").code == 0
    ids, first, second, _ = (list(column) for column in zip(*communities["nodes"], strict=True))
    source, target = (list(column) for column in zip(*communities["edges"], strict=True))
    x = np.array([first, second], dtype=np.float64).T
    if ending == "parquet":
        pl.DataFrame({"source": source, "target": target}).write_parquet(tmp_path / "e.parquet")
        pl.DataFrame({"id": ids, "warm": x[:, 0], "tall": x[:, 1]}).write_parquet(tmp_path / "n.parquet")
    else:
        np.savez(tmp_path / "e.npz", source=np.array(source), target=np.array(target))
        np.savez(tmp_path / "n.npz", id=np.array(ids), x=x)
    answer = cli("cluster", "--edges", f"e.{ending}", "--nodes", f"n.{ending}", "--k", 2, *BRIEF, "--out", "r")
    assert answer.code == 0, answer.err
    assert (tmp_path / "r" / "clusters.csv").read_bytes() == (tmp_path / "csv" / "clusters.csv").read_bytes()


def test_neighbours_by_features_stand_in_for_edges(cli, tables, communities, tmp_path):
    _, nodes = tables()
    answer = cli("cluster", "--nodes", nodes, "--knn", 3, "--k", 2, *QUICK, "--out", "r")
    assert answer.code == 0, answer.err
    check(clusters(tmp_path / "r"), communities)
    assert "nodes.csv, 3 nearest neighbours" in answer.err


def test_edges_alone_are_enough(cli, tables, communities, tmp_path):
    edges, _ = tables()
    answer = cli("cluster", "--edges", edges, "--k", 2, *QUICK, "--out", "r")
    assert answer.code == 0, answer.err
    frame = clusters(tmp_path / "r")
    assert sorted(frame["id"]) == sorted(row[0] for row in communities["nodes"])
    assert purity(frame.sort("id"), communities) >= 0.8
    assert json.loads((tmp_path / "r" / "metrics.json").read_text())["protocol"]["features"] == "positional"


def test_columns_are_chosen_by_name(cli, tables, tmp_path):
    edges, nodes = tables()
    edges.write_text(edges.read_text().replace("source,target", "von,nach"))
    nodes.write_text(nodes.read_text().replace("id,warm,tall", "who,warm,tall"))
    names = ["--source", "von", "--target", "nach", "--id", "who", "--features", "warm, tall"]
    answer = cli("cluster", "--edges", edges, "--nodes", nodes, "--k", 2, *names, *BRIEF, "--out", "r")
    assert answer.code == 0, answer.err
    assert "2 features" in answer.err


def test_the_seed_decides(cli, tables, tmp_path):
    edges, nodes = tables()
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        assert cli("cluster", "--edges", edges, "--nodes", nodes, "--k", 2, *BRIEF, "--seed", seed, "--out", name).code == 0
    kept = {name: (tmp_path / name / "embeddings.npy").read_bytes() for name in "abc"}
    assert kept["a"] == kept["b"] != kept["c"]
    assert yaml.safe_load((tmp_path / "a" / "config.yaml").read_text())["seeds"] == [5]


def test_without_out_the_folder_is_named_after_the_file(cli, tables, tmp_path):
    edges, nodes = tables()
    assert cli("cluster", "--edges", edges, "--nodes", nodes, "--k", 2, *BRIEF).code == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("cluster-nodes-20")


def test_print_config_trains_nothing(cli, tables):
    edges, nodes = tables()
    answer = cli("cluster", "--edges", edges, "--nodes", nodes, "--k", 2, "--print-config")
    assert yaml.safe_load(answer.out)["system"] == "pamc"
    assert answer.paths == ["edges.csv", "nodes.csv"]


def test_three_faults_of_a_pair_of_files_are_told_in_one_line_with_their_places(cli, tables):
    edges, nodes = tables()
    lines = nodes.read_text().splitlines()
    lines[3] = lines[3].rsplit(",", 1)[0] + ",nan"
    lines[6] = lines[2]
    nodes.write_text("\n".join(lines) + "\n")
    rows = edges.read_text().splitlines()
    rows[4] = ",7777"
    edges.write_text("\n".join(rows) + "\n")
    answer = cli("cluster", "--edges", edges, "--nodes", nodes, "--k", 2, "--out", "r")
    for words in ("nodes.csv line 4, column 'tall'", "nodes.csv line 7: id '008' is already in line 3", "edges.csv line 5"):
        assert words in answer.complaint
    assert answer.paths == ["edges.csv", "nodes.csv"]


def test_edges_to_unknown_nodes_are_dropped_and_counted_unless_they_are_many(cli, tables, tmp_path):
    edges, nodes = tables()
    edges.write_text(edges.read_text() + "7777,007\n")
    answer = cli("cluster", "--edges", edges, "--nodes", nodes, "--k", 2, *BRIEF, "--out", "r")
    assert "unknown 1" in answer.err
    assert "7777" not in clusters(tmp_path / "r")["id"].to_list()
    edges.write_text("source,target\n7,8\n8,9\n007,008\n")
    answer = cli("cluster", "--edges", edges, "--nodes", nodes, "--k", 2, "--out", "s")
    assert "2 of 3 edges name nodes that the nodes table lacks, such as '7'" in answer.complaint


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give --edges FILE, or --nodes FILE with --knn K"),
        (["--k", "2"], "give --edges FILE, or --nodes FILE with --knn K"),
        (["--nodes", "nodes.csv", "--k", "2"], "give --edges FILE, or --nodes FILE with --knn K"),
        (["--knn", "3", "--k", "2"], "give --edges FILE, or --nodes FILE with --knn K"),
        (["--edges", "edges.csv", "--knn", "3"], "--knn K stands in for --edges FILE"),
        (["--edges", "edges.csv", "--label", "kind"], "--label names a column of --nodes FILE, which is missing"),
        (["--edges", "edges.csv", "--id", "id"], "--id names a column of --nodes FILE, which is missing"),
        (["--edges", "edges.csv", "--features", "a"], "--features names a column of --nodes FILE, which is missing"),
        (["--nodes", "nodes.csv", "--knn", "3", "--weight", "w"], "--weight names a column of --edges FILE"),
        (["--edges", "none.csv", "--k", "2"], "expected a file of edges at none.csv, found none"),
        (["--edges", "edges.csv", "--nodes", "none.csv"], "expected a file of nodes at none.csv, found none"),
        (["--edges", "edges.csv", "--nodes", "nodes.csv"], "how many clusters? "),
        (["--edges", "edges.csv", "--nodes", "nodes.csv", "--k", "21"], "in 2 .. 20, the number of nodes; got 21"),
        (["--edges", "edges.csv", "--nodes", "nodes.csv", "--k", "1"], "in 2 .. 20, the number of nodes; got 1"),
        (["--edges", "edges.csv", "--nodes", "nodes.csv", "--k", "2", "--seed", "-1"], "a seed lies in 0 .. 4294967295"),
        (["--edges", "edges.csv", "--nodes", "nodes.csv", "--k", "2", "--method", "pmac"], "method 'pmac'; did you mean pamc"),
        (["--edges", "edges.csv", "--nodes", "nodes.csv", "--k", "2", "--label", "talll"], "column 'talll'; did you mean tall"),
        (["--edges", "edges.csv", "--nodes", "nodes.csv", "--k", "2", "--weight", "w"], "unknown column 'w'"),
        (["--edges", "edges.csv", "--nodes", "nodes.csv", "--k", "2", "--out", "edges.csv"], "edges.csv is a file"),
        (["--edges", "edges.csv", "--nodes", "nodes.csv", "--k", "2", "--set", "order=0"], "order must be >= 1; got 0"),
        (["--edges", "edges.csv", "--nodes", "nodes.csv", "--k", "2", "--set", "temperature=-2"], "temperature must be > 0"),
        (["--edges", "edges.csv", "--nodes", "nodes.csv", "--k", "2", "--device", "quark"], "device 'quark' cannot be used"),
        (["--edges", "edges.csv", "--nodes", "nodes.csv", "--k", "many"], "Invalid value for '--k'"),
        (["--edges", "edges.csv", "--k", "2", "--k-range", "2:4"], "--k-range is for --k auto"),
        (["--edges", "edges.csv", "--k-by", "stability"], "--k-by is for --k auto"),
        (["--edges", "edges.csv", "--k", "auto", "--k-range", "2-4"], "--k-range expects two whole numbers"),
        (["--edges", "edges.csv", "--k", "auto", "--k-range", "4:2"], "below the number of nodes; got none"),
        (["--edges", "edges.csv", "--nodes", "nodes.csv", "--k", "auto", "--k-range", "2:20"], "must lie in 2 .. 19"),
        (["--edges", "edges.csv", "--k", "auto", "--k-by", "modularty"], "criterion 'modularty'; did you mean modularity"),
        (["--nodes", "nodes.csv", "--knn", "20", "--k", "2"], "expected from 1 to 19 neighbours for 20 rows, got 20"),
        (["--nodes", "nodes.csv", "--knn", "0", "--k", "2"], "expected from 1 to 19 neighbours for 20 rows, got 0"),
        (["--edges", "pair.csv", "--k", "2"], "need at least 4 nodes; got 2: give the nodes features"),
        (["--edges", "bare.csv", "--k", "2"], "add a header line such as source,target"),
        (["--edges", "empty.csv", "--k", "2"], "the file is empty"),
    ],
)  # fmt: skip
def test_what_cannot_be_clustered_is_one_line_and_leaves_nothing(cli, tables, tmp_path, arguments, words):
    tables()
    (tmp_path / "pair.csv").write_text("source,target\na,b\n")
    (tmp_path / "bare.csv").write_text("1,2\n2,3\n")
    (tmp_path / "empty.csv").write_text("")
    answer = cli("cluster", *arguments)
    assert words in answer.complaint
    assert answer.paths == ["bare.csv", "edges.csv", "empty.csv", "nodes.csv", "pair.csv"]
