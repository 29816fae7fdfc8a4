from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

BRIEF = ["--device", "cpu", "--epochs", "2", "--set", "hidden=8", "--set", "projection=8"]


def table(path):
    frame = pl.read_csv(path, schema_overrides={"id": pl.String})
    return frame["id"].to_list(), frame.drop("id").to_numpy().astype(np.float32)


def ids(communities):
    return [row[0] for row in communities["nodes"]]


@pytest.fixture
def trained(cli, tables):
    """A run folder ``r`` that was trained on the tables of communities."""
    edges, nodes = tables()
    answer = cli("embed", "--edges", edges, "--nodes", nodes, *BRIEF, "--out", "r")
    assert answer.code == 0, answer.err
    return edges, nodes, answer


def test_a_folder_gets_the_run_and_the_table_in_it(trained, communities, tmp_path):
    _, _, answer = trained
    names, embedding = table(tmp_path / "r" / "embeddings.csv")
    assert names == ids(communities)
    np.testing.assert_array_equal(embedding, np.load(tmp_path / "r" / "embeddings.npy"))
    assert embedding.shape == (20, 8)
    assert answer.out.splitlines() == ["run folder: r", "embeddings: r/embeddings.csv"]
    metrics = json.loads((tmp_path / "r" / "metrics.json").read_text())
    assert (metrics["system"], metrics["dataset"], metrics["seeds"]) == ("grace", "nodes", [0])
    assert "not scored: the data has no y" in answer.err
    assert json.loads((tmp_path / "r" / "model.json").read_text())["feature_names"] == ["warm", "tall"]


@pytest.mark.parametrize("ending", ["csv", "parquet", "npy"])
def test_a_file_gets_the_table_and_the_run_goes_under_runs(trained, cli, communities, tmp_path, ending):
    edges, nodes, _ = trained
    answer = cli("embed", "--edges", edges, "--nodes", nodes, *BRIEF, "--out", f"e.{ending}")
    assert answer.code == 0, answer.err
    assert answer.out.splitlines()[-1] == f"embeddings: e.{ending}"
    _, want = table(tmp_path / "r" / "embeddings.csv")
    if ending == "npy":
        got, names = np.load(tmp_path / "e.npy"), pl.read_csv(tmp_path / "e.ids.csv", infer_schema=False)["id"].to_list()
    elif ending == "csv":
        names, got = table(tmp_path / "e.csv")
    else:
        frame = pl.read_parquet(tmp_path / "e.parquet")
        names, got = frame["id"].to_list(), frame.drop("id").to_numpy()
    assert names == ids(communities)
    np.testing.assert_array_equal(got, want)
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("embed-nodes-20")
    assert (folder / "metrics.json").exists()
    assert not (folder / "embeddings.csv").exists()


def test_labels_are_scored_where_they_can_be_and_change_nothing(trained, cli, tables, tmp_path):
    edges, nodes = tables(label=True)
    answer = cli("embed", "--edges", edges, "--nodes", nodes, *BRIEF, "--out", "s")
    assert answer.code == 0, answer.err
    assert "not scored: split 'seed" in answer.err, "two of twenty nodes cannot train a probe"
    assert (tmp_path / "s" / "embeddings.csv").read_bytes() == (tmp_path / "r" / "embeddings.csv").read_bytes()


def test_a_trained_run_embeds_its_own_graph_to_the_same_bits(trained, cli, tmp_path):
    edges, nodes, _ = trained
    answer = cli("embed", "--run", "r", "--edges", edges, "--nodes", nodes, "--out", "again.csv")
    assert (answer.code, answer.out) == (0, "embeddings: again.csv\n"), answer.err
    assert answer.err.startswith("nodes (own)") or "20 nodes" in answer.err
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "r" / "embeddings.csv").read_bytes()


def test_another_graph_is_embedded_whatever_the_order_of_its_columns(trained, cli, tmp_path):
    _, _, _ = trained
    (tmp_path / "e2.csv").write_text("source,target\nx,y\ny,z\n")
    (tmp_path / "n2.csv").write_text("id,warm,tall\nx,1,2\ny,3,4\nz,5,6\n")
    (tmp_path / "n3.csv").write_text("id,price,tall,warm\nx,9,2,1\ny,9,4,3\nz,9,6,5\n")
    for nodes in ("n2", "n3"):
        answer = cli("embed", "--run", "r", "--edges", "e2.csv", "--nodes", f"{nodes}.csv", "--out", f"{nodes}.out.csv")
        assert answer.code == 0, answer.err
    names, embedding = table(tmp_path / "n2.out.csv")
    assert names == ["x", "y", "z"]
    assert embedding.shape == (3, 8)
    assert (tmp_path / "n3.out.csv").read_bytes() == (tmp_path / "n2.out.csv").read_bytes()


@pytest.mark.parametrize(
    ("header", "options", "words"),
    [
        ("id,warm,long", [], "n2.csv lacks 1 of the 2 feature columns that the system was trained with: tall; other columns"),
        ("id,warm,tall", ["--features", "warm"], "grace was made for 2 features a node; got x of shape (2, 1): missing tall"),
        ("id,warm,tall", ["--features", "tall,warm"], "column 0 was 'warm' and is 'tall'"),
    ],
)
def test_other_columns_are_refused_by_name_and_nothing_is_written(trained, cli, tmp_path, header, options, words):
    before = trained[2].paths
    (tmp_path / "e2.csv").write_text("source,target\nx,y\n")
    (tmp_path / "n2.csv").write_text(f"{header}\nx,1,2\ny,3,4\n")
    answer = cli("embed", "--run", "r", "--edges", "e2.csv", "--nodes", "n2.csv", *options, "--out", "o.csv")
    assert answer.code == 2
    assert words in answer.err.splitlines()[-1]
    assert answer.paths == sorted([*before, "e2.csv", "n2.csv"])


def test_a_run_of_a_clustering_system_embeds_too(cli, tables, tmp_path):
    edges, nodes = tables()
    small = ["--k", 2, "--device", "cpu", "--epochs", "2", "--set", "hidden=8", "--set", "n_init=2"]
    assert cli("cluster", "--edges", edges, "--nodes", nodes, *small, "--out", "c").code == 0
    answer = cli("embed", "--run", "c", "--edges", edges, "--nodes", nodes, "--out", "o.csv")
    assert answer.code == 0, answer.err
    np.testing.assert_array_equal(table(tmp_path / "o.csv")[1], np.load(tmp_path / "c" / "embeddings.npy"))


def test_edges_alone_are_embedded_but_do_not_carry_over(cli, tables, tmp_path):
    edges, _ = tables()
    assert cli("embed", "--edges", edges, *BRIEF, "--out", "r").code == 0
    assert cli("embed", "--run", "r", "--edges", edges, "--out", "same.csv").code == 0
    assert (tmp_path / "same.csv").read_bytes() == (tmp_path / "r" / "embeddings.csv").read_bytes()
    (tmp_path / "e2.csv").write_text(edges.read_text() + "007,099\n007,090\n")
    answer = cli("embed", "--run", "r", "--edges", "e2.csv", "--out", "o.csv")
    assert "positional features do not carry over to another graph" in answer.err


def test_a_fault_in_the_files_is_one_line_and_leaves_nothing(cli, tables):
    edges, nodes = tables()
    lines = nodes.read_text().splitlines()
    lines[3] = lines[3].rsplit(",", 1)[0] + ",high"
    nodes.write_text("\n".join(lines) + "\n")
    answer = cli("embed", "--edges", edges, "--nodes", nodes, "--out", "o.csv")
    assert "nodes.csv line 4, column 'tall'" in answer.complaint
    assert "expected a number, got 'high'" in answer.complaint
    assert answer.paths == ["edges.csv", "nodes.csv"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give --edges FILE, or --nodes FILE with --knn K"),
        (["--edges", "edges.csv", "--method", "pamc"], "unknown node method 'pamc'"),
        (["--edges", "edges.csv", "--method", "grase"], "method 'grase'; did you mean grace"),
        (["--edges", "edges.csv", "--out", "e.txt"], "--out e.txt: expected a file ending in .csv, .parquet or .npy"),
        (["--edges", "edges.csv", "--out", "nodes.csv"], "nodes.csv is there already; name another file"),
        (["--edges", "edges.csv", "--out", "none/e.csv"], "there is no folder none; make it first"),
        (["--edges", "edges.csv", "--set", "k=3"], "unknown key 'k'"),
        (["--edges", "edges.csv", "--set", "temperature=-1"], "temperature"),
        (["--run", "r", "--edges", "edges.csv"], "give --out FILE.csv, .parquet or .npy"),
        (["--run", "r", "--edges", "edges.csv", "--out", "o.csv"], "r: there is no such folder"),
        (["--run", ".", "--edges", "edges.csv", "--out", "o.csv"], "holds no trained system, for want of model.json"),
        (["--run", "r", "--edges", "edges.csv", "--out", "o"], "--out o: expected a file ending in .csv"),
        (
            ["--run", "r", "--edges", "edges.csv", "--epochs", "3", "--method", "grace", "--print-config"],
            "--run DIR embeds with what was trained: leave out --method, --epochs, --print-config",
        ),
        (
            ["--run", "r", "--edges", "edges.csv", "--batch-nodes", "9"],
            "--run DIR embeds with what was trained: leave out --batch-nodes",
        ),
    ],
)
def test_what_cannot_be_embedded_is_one_line_and_leaves_nothing(cli, tables, arguments, words):
    tables()
    answer = cli("embed", *arguments)
    assert words in answer.complaint
    assert answer.paths == ["edges.csv", "nodes.csv"]


def test_the_configuration_alone_is_printed(cli, tables):
    edges, nodes = tables()
    answer = cli("embed", "--edges", edges, "--nodes", nodes, *BRIEF, "--print-config")
    assert answer.code == 0
    assert "system: grace" in answer.out
    assert answer.paths == ["edges.csv", "nodes.csv"]


def test_a_graph_is_trained_on_in_batches(cli, tables, communities, tmp_path):
    edges, nodes = tables()
    answer = cli("embed", "--edges", edges, "--nodes", nodes, *BRIEF, "--batch-nodes", "7", "--out", "r")
    assert answer.code == 0, answer.err
    names, embedding = table(tmp_path / "r" / "embeddings.csv")
    assert names == ids(communities)
    assert embedding.shape == (20, 8)
    assert "batch_nodes: 7" in (tmp_path / "r" / "config.yaml").read_text()
