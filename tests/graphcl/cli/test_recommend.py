from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from graphcl.tasks.recommender import Recommender


@pytest.fixture
def log(tmp_path) -> Callable[..., Path]:
    """Writes a log of forty customers of two tastes; single cells can be put out of order."""

    def write(name: str = "shop.csv", *, faults: dict[tuple[int, int], str] | None = None, time: bool = True) -> Path:
        rng = np.random.default_rng(0)
        user, item = rng.integers(40, size=900), rng.integers(15, size=900) * 2
        item = item + (user + (rng.random(900) < 0.1)) % 2
        rows = [[f"c{user[n]:02d}", f"p{item[n]:02d}", "1.5", f"{1_700_000_000 + 60 * n}"] for n in range(900)]
        for (row, column), cell in (faults or {}).items():
            rows[row][column] = cell
        width = 4 if time else 3
        lines = [",".join(row[:width]) for row in [["customer", "product", "weight", "at"], *rows]]
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


COLUMNS = ("--user", "customer", "--item", "product")


def test_the_whole_way_from_a_log_to_lists(cli, log, tmp_path):
    answer = cli(
        "recommend", "--interactions", log(), *COLUMNS, "--time", "at", "--k", 4, "--epochs", 3, "--device", "cpu",
        "--out", "run",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    for name in ("popularity", "item-knn", "ease"):
        assert f" {name} " in answer.out
    assert "chosen: " in answer.out
    assert "one standard error" in " ".join(answer.out.split())
    assert "protocol strict" in answer.out
    assert "recommendations: run/recommendations.csv" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 100
    lists = pl.read_csv(tmp_path / "run/recommendations.csv")
    assert lists.columns == ["user", "item", "score", "rank", "source"]
    assert lists["user"].n_unique() == 40
    assert lists.height == 160
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    loaded = Recommender.load(tmp_path / "run", device="cpu")
    assert loaded.method == metrics["system"]
    assert loaded.recommend(["c07"], k=4)["item"].to_list() == lists.filter(pl.col("user") == "c07")["item"].to_list()


def test_without_times_the_split_is_at_random_and_a_name_skips_the_comparison(cli, log, tmp_path):
    answer = cli(
        "recommend", "--interactions", log(time=False), *COLUMNS, "--method", "ease", "--format", "parquet", "--out", "run",
        "--min-user", 5, "--min-item", 2,
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert "chosen" not in answer.out
    assert pl.read_parquet(tmp_path / "run/recommendations.parquet").height == 400


def test_planted_faults_are_all_told_in_one_line_and_nothing_is_left(cli, log):
    path = log(faults={(3, 0): "", (8, 3): "soon", (20, 2): "-3"})
    complaint = cli("recommend", "--interactions", path, *COLUMNS, "--time", "at").complaint
    assert "line 5, column 'customer': no user" in complaint
    assert "line 10, column 'at': expected a number or a date" in complaint
    assert "got 'soon'" in complaint
    assert "line 22, column 'weight': expected a weight of 0 or more, got '-3'" in complaint


@pytest.mark.parametrize(
    ("wish", "complaint"),
    [
        (("--user", "client", "--item", "product"), "unknown column 'client'"),
        (("--item", "product"), "expected a column of users called user"),
        ((*COLUMNS, "--method", "eas"), "unknown recommendation method 'eas'; did you mean ease"),
        ((*COLUMNS, "--method", "pamc"), "unknown recommendation method 'pamc'"),
        ((*COLUMNS, "--k", "0"), "k must be 1 or more; got 0"),
        ((*COLUMNS, "--split", "loo"), "unknown way to split 'loo'"),
        ((*COLUMNS, "--format", "xlsx"), "unknown format of lists 'xlsx'"),
        ((*COLUMNS, "--epochs", "0"), "epochs must be >= 1"),
        ((*COLUMNS, "--min-user", "999"), "no interaction is left with 999 a user"),
        ((*COLUMNS, "--min-user", "-1"), "expected fewest items of a user and users of an item of 0 or more; got -1 and 0"),
        ((*COLUMNS, "--min-weight", "7"), "expected at least one row of interactions, got none"),
        ((*COLUMNS, "--split", "time"), "to split by time, got none"),
    ],
)
def test_what_cannot_be_used_is_one_line(cli, log, wish, complaint):
    answer = cli("recommend", "--interactions", log(), *wish)
    assert complaint in answer.complaint
    assert answer.paths == ["shop.csv"]


def test_bad_wishes_are_told_before_a_bad_file(cli, log):
    path = log(faults={(3, 0): ""})
    assert "unknown recommendation method" in cli("recommend", "--interactions", path, "--method", "eas").complaint
    assert "expected a file of interactions" in cli("recommend", "--interactions", "nowhere.csv").complaint
    assert "Missing option '--interactions'" in cli("recommend").complaint


@pytest.fixture
def walked(walks, tmp_path) -> Path:
    """The histories as a log with times, rows out of order."""
    rows = [
        (f"c{user:02d}", f"p{item:02d}", 1000 * place + user)
        for user, row in enumerate(walks)
        for place, item in enumerate(row)
    ]
    order = np.random.default_rng(1).permutation(len(rows))
    lines = ["u,i,t", *(",".join(map(str, rows[number])) for number in order)]
    (tmp_path / "walked.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "walked.csv"


@pytest.mark.parametrize("method", ["markov", "sasrec"])
def test_what_comes_next_from_a_log_with_times(cli, walked, walks, tmp_path, method):
    answer = cli(
        "recommend", "--interactions", walked, "--user", "u", "--item", "i", "--time", "t", "--method", method, "--k", 3,
        "--epochs", 25, "--device", "cpu", "--out", "run",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert "chosen" not in answer.out
    lists = pl.read_csv(tmp_path / "run/recommendations.csv")
    first = dict(lists.filter(pl.col("rank") == 1).select("user", "item").iter_rows())
    own = {f"c{user:02d}": {f"p{item:02d}" for item in row} for user, row in enumerate(walks)}
    wanted = {f"c{user:02d}": f"p{row[-1] % 20 + 1:02d}" for user, row in enumerate(walks)}
    fair = [user for user in wanted if wanted[user] not in own[user]]
    assert np.mean([first[user] == wanted[user] for user in fair]) > 0.6
    assert all(row["item"] not in own[row["user"]] for row in lists.iter_rows(named=True))
    loaded = Recommender.load(tmp_path / "run", device="cpu")
    assert loaded.recommend(["c07"], k=3)["item"].to_list() == lists.filter(pl.col("user") == "c07")["item"].to_list()
    assert loaded.fold_in(["p04", "p05"], k=1)["item"].to_list() == ["p06"]
    told = json.loads((tmp_path / "run/metrics.json").read_text())
    assert told["data"]["interactions"] == sum(map(len, walks))


def test_a_sequential_method_needs_times(cli, log):
    answer = cli("recommend", "--interactions", log(time=False), *COLUMNS, "--method", "sasrec")
    assert "sasrec goes by the order of events, and these have no times: name their column with --time" in answer.complaint
    assert answer.paths == ["shop.csv"]
