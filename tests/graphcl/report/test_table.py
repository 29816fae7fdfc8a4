from __future__ import annotations

import io

import pytest
from rich.console import Console

from graphcl.evaluation.selection import STAMP
from graphcl.report import caption, result_markdown, result_rows, result_table
from graphcl.report.table import rules, shown_metrics


def shown(metrics, width=80):
    console = Console(file=io.StringIO(), width=width)
    console.print(result_table(metrics))
    return console.file.getvalue()


def test_the_system_comes_first_and_the_anchors_follow(metrics):
    rows = result_rows(metrics())
    assert [name for name, _ in rows] == ["pamc", "kmeans-raw", "kmeans-filtered-2"]
    assert rows[0][1] == {"acc": "0.7500 ± 0.0125", "nmi": "0.3750 ± 0.0125"}
    assert rows[1][1]["acc"] == "0.5000 ± 0.0125"


def test_one_seed_has_no_deviation(metrics):
    assert result_rows(metrics(seeds=1))[0][1]["acc"] == "0.7500"


def test_without_scores_there_are_no_rows(metrics):
    content = {**metrics(), "metrics": {}, "baselines": {}}
    assert result_rows(content) == []
    assert "| method |" in result_markdown(content)


def test_the_terminal_shows_every_figure_of_every_method_on_one_line_each(metrics):
    content = metrics()
    text = shown(content)
    assert "pamc on citation/cora" in text
    for name, values in result_rows(content):
        (line,) = [line for line in text.splitlines() if line.split()[:1] == [name] and "on" not in line.split()]
        assert line.split()[1:] == [value.replace(" ", "") for value in values.values()]


def test_four_metrics_over_several_seeds_fit_eighty_columns(metrics):
    content = metrics()
    for scores in (content["metrics"], *content["baselines"].values()):
        scores |= {"ari": scores["acc"], "f1": scores["nmi"]}
    text = shown(content)
    assert "…" not in text
    assert text.count("0.7500±0.0125") == 2
    assert "kmeans-filtered-2" in text


def test_markdown_is_a_table_with_the_same_figures(metrics):
    content = metrics()
    lines = result_markdown(content).splitlines()
    assert lines[0] == "# pamc on citation/cora"
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert table[0] == ["method", "acc", "nmi"]
    assert table[1] == ["---", "---:", "---:"]
    assert table[2:] == [[name, *values.values()] for name, values in result_rows(content)]
    assert lines[-1] == caption(content)


def test_the_caption_says_how_the_numbers_came_about(metrics):
    want = "mean ± std over 2 seeds, selection: last, K = 7, training 12.3 s a seed, peak memory 612 MB"
    assert caption(metrics()) == want
    assert caption(metrics(seeds=1)).startswith("one seed, ")


@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        ({"name": "public", "splits": 1}, "one seed, linear probe, public split, training"),
        ({"name": "public", "splits": 20}, "linear probe, public x 20, acc std over splits 0.0250, training"),
        ({"name": "random 10/10/80", "splits": 20}, "linear probe, random 10/10/80 x 20, acc std over splits 0.0250, training"),
        (
            {
                "name": "random 10/10/80",
                "splits": 3,
                "baseline_splits": {"raw": 1},
                "stamp": "3 of the 20 splits of the protocol",
            },
            "raw on 1 of the splits only, training 12.3 s a seed, peak memory 612 MB. STAMPED 3 of the 20 splits",
        ),
        ({"name": None, "splits": 0}, "one seed, not scored, training"),
    ],
)
def test_the_caption_of_a_probe_names_split_and_spread(metrics, protocol, words):
    content = metrics(seeds=1)
    content["protocol"] = {"stamp": None, "features": "given", "baseline_splits": {}, **protocol}
    content["split_std"] = {"acc": 0.025, "f1": 0.5}
    assert words in caption(content)


def test_positional_features_are_mentioned(metrics):
    assert "positional features (the graph brought none)" in caption(metrics(features="positional"))


@pytest.mark.parametrize("render", [shown, result_markdown])
def test_oracle_is_stamped_wherever_the_numbers_go(metrics, render):
    stamped = " ".join(render(metrics(selection="oracle", stamp=STAMP)).split())
    assert "selection: oracle" in stamped
    assert f"STAMPED {STAMP}" in stamped
    assert "STAMPED" not in render(metrics())


def test_what_the_labels_would_have_chosen_has_a_stamped_column_of_its_own(metrics):
    content = metrics()
    plain = shown(content)
    content["oracle"] = {"acc": {"mean": 0.8, "std": 0.02, "values": [0.7, 0.9]}, "epoch": [3, 4], "stamp": STAMP}
    lines = result_markdown(content).splitlines()
    assert lines[2] == "| method | acc | nmi | oracle acc |"
    assert lines[3] == "|---|---:|---:|---:|"
    assert lines[4] == "| pamc | 0.7500 ± 0.0125 | 0.3750 ± 0.0125 | 0.8000 ± 0.0200 |"
    assert lines[5] == "| kmeans-raw | 0.5000 ± 0.0125 | 0.2500 ± 0.0125 |  |"
    assert lines[7:] == ["", f"oracle acc: of the same training. STAMPED {STAMP}", "", caption(content)]
    assert shown(content) == plain, "the terminal has room for what counts"


@pytest.fixture
def ranked(metrics):
    """A recommendation run of two seeds."""
    content = metrics()
    scores = {
        f"{name}@{k}": {"mean": 0.1 + k / 100, "std": 0.01, "values": [0.1, 0.2]}
        for name in ("ndcg", "recall", "gini")
        for k in (10, 20)
    }
    checks = dict.fromkeys(("disjoint", "graph"), "passed")
    protocol = {
        "name": "recommendation", "id": "lit-files", "selection": "valid-from-train", "refit": True, "checks": checks,
        "stamp": None,
    }  # fmt: skip
    return {**content, "metrics": scores, "baselines": {"ease": scores}, "protocol": protocol}


def test_a_ranking_shows_what_there_is_room_for_and_its_protocol(ranked):
    assert list(result_rows(ranked)[0][1]) == ["recall@10", "ndcg@10", "recall@20", "ndcg@20"]
    assert "…" not in shown(ranked)
    followed = {f"{name}@{k}": {"mean": 0.1, "std": 0.0} for name in ("hr", "mrr", "ndcg") for k in (5, 10, 20)}
    assert shown_metrics(followed) == ["hr@5", "hr@10", "hr@20", "ndcg@5", "ndcg@10", "ndcg@20"]
    want = "all items ranked, protocol lit-files, selection=valid-from-train, refit on train and valid, checks passed: "
    assert f"{want}disjoint, graph, training" in caption(ranked)
    told = caption(ranked)
    ranked["protocol"]["checks"]["graph"] = "refit on train and valid"
    assert caption(ranked) == told, "said already"
    ranked["protocol"]["checks"]["graph"] = "not checked"
    assert "checks: graph not checked" in caption(ranked)


@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        ({"name": None}, ["not scored"]),
        ({"name": "clustering", "selection": "last", "n_clusters": 7, "clusters_found": [6]}, ["selection: last", "K = 7"]),
        ({"name": "public", "splits": 1}, ["linear probe, public split"]),
        ({"name": "random 10/10/80", "splits": 20}, ["linear probe, random 10/10/80 x 20"]),
        (
            {"name": "recommendation", "id": "strict", "selection": "valid", "refit": False},
            ["all items ranked", "protocol strict", "selection=valid"],
        ),
    ],
)
def test_the_rules_hold_nothing_that_belongs_to_one_run(protocol, words):
    assert rules(protocol) == words
