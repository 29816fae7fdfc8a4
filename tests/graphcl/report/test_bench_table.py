from __future__ import annotations

import io
import json
from dataclasses import replace
from html.parser import HTMLParser

import polars as pl
import pytest

from graphcl.evaluation.selection import STAMP
from graphcl.models.recipes import Recipe
from graphcl.report import bench_blocks, bench_csv, bench_html, bench_markdown, bench_table
from graphcl.tasks import resolve
from graphcl.tasks.bench_plan import Cell, find_suite
from graphcl.tasks.bench_run import Outcome

SUITE = find_suite("clustering")
DATA = {"name": "karate", "sha256": "0123456789abcdef", "counts": {"nodes": 1234, "edges": 78, "features": 0}}


@pytest.fixture
def outcome(metrics, tmp_path):
    """Makes a finished cell, the accuracies of its seeds and of the baseline given."""

    def make(system, accuracies, baseline=(0.5,), stamp=None, data=DATA, **protocol):
        def scores(values):
            mean = sum(values) / len(values)
            return {name: {"mean": mean, "std": 0.025, "values": list(values)} for name in ("acc", "nmi", "ari", "f1")}

        content = metrics(seeds=len(accuracies), stamp=stamp, **protocol)
        content |= {
            "system": system,
            "dataset": "karate",
            "metrics": scores(accuracies),
            "baselines": {"k|means": scores(baseline)},
        }
        return Outcome(Cell(resolve(system, "karate"), tmp_path), content, data)

    return make


@pytest.fixture
def recipes(monkeypatch):
    published = ({"acc": {"mean": 0.9, "std": 0.01}, "nmi": 0.5, "method": "sdcn", "source": "a paper", "selection": "best"},)
    monkeypatch.setattr(
        bench_table, "find_recipe", lambda system, dataset: Recipe(system, dataset, published=published)
    )  # fmt: skip


SPREAD = " ± 0.0250"
GOLDEN = """\
# Benchmark: clustering

## karate

1,234 nodes, 78 edges, sha256 0123456789ab.

Protocol: selection: last, K = 7.

| method | acc | nmi | ari | f1 | gain in acc | p (t) | p (sign) | seconds | peak MB |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|
| pamc | 0.7000~ | 0.7000~ | 0.7000~ | 0.7000~ | +0.2000 over k\\|means | 0.1560 | 0.5000 | 12.3 | 612 |
| sdcn [1] | 0.4000 | 0.4000 | 0.4000 | 0.4000 | -0.1000 over k\\|means |  |  | 12.3 | 612 |
| *baselines* |  |  |  |  |  |  |  |  |  |
| k\\|means | 0.5000 | 0.5000 | 0.5000 | 0.5000 |  |  |  |  |  |
| *published, by other protocols: not comparable* |  |  |  |  |  |  |  |  |  |
| sdcn [2] | 0.9000 ± 0.0100 | 0.5000 |  |  |  |  |  |  |  |

1. a stamp
2. selection: best; source: a paper
""".replace("~", SPREAD)


def test_a_table_has_systems_then_baselines_then_published_figures_set_apart(outcome, recipes):
    outcomes = [outcome("sdcn", [0.4], stamp="a stamp"), outcome("pamc", [0.65, 0.75])]
    text = bench_markdown(SUITE, bench_blocks(SUITE, outcomes), outcomes)
    assert text.startswith(GOLDEN)
    assert text.splitlines()[-1].startswith("Mean ± standard deviation over seeds.")


def test_other_protocols_and_other_data_have_tables_of_their_own(outcome):
    other = {**DATA, "sha256": "f" * 64}
    outcomes = [
        outcome("pamc", [0.6]), outcome("sdcn", [0.6], clusters_found=[3]), outcome("sdcn", [0.7], selection="oracle"),
        outcome("pamc", [0.8], n_clusters=8), outcome("pamc", [0.9], data=other),
    ]  # fmt: skip
    blocks = bench_blocks(SUITE, outcomes)
    assert [(block.protocol, block.sha256[0], sum(row.kind == "system" for row in block.rows)) for block in blocks] == [
        ("selection: last, K = 7", "0", 2), ("selection: oracle, K = 7", "0", 1),
        ("selection: last, K = 8", "0", 1), ("selection: last, K = 7", "f", 1),
    ]  # fmt: skip
    assert bench_markdown(SUITE, blocks, outcomes).count("## karate") == 4


def test_a_baseline_stands_once_and_one_with_other_figures_says_beside_whom(outcome):
    outcomes = [outcome("pamc", [0.6]), outcome("sdcn", [0.6]), outcome("scgc-k", [0.6], baseline=[0.55])]
    (block,) = bench_blocks(SUITE, outcomes)
    assert [row.method for row in block.rows if row.kind == "baseline"] == ["k|means (beside scgc-k)", "k|means"]


def test_csv_has_every_row_with_its_protocol(outcome, recipes):
    blocks = bench_blocks(SUITE, [outcome("pamc", [0.65, 0.75])])
    frame = pl.read_csv(io.StringIO(bench_csv(SUITE, blocks)))
    assert frame["kind"].to_list() == ["system", "baseline", "published"]
    assert frame["protocol"].to_list() == ["selection: last, K = 7"] * 2 + ["published"]
    first = frame.row(0, named=True)
    assert (first["acc"], first["acc std"], first["runs"], first["against"]) == (0.7, 0.025, 2, "k|means")
    assert first["gain"] == pytest.approx(0.2)
    assert frame["ari"].to_list() == [0.7, 0.5, None]
    assert bench_csv(SUITE, []) == ""


@pytest.fixture
def oracles(outcome):
    """Three cells: one without an oracle, and two whose oracles would turn their order about."""
    best, other, bare = outcome("pamc", [0.65, 0.75]), outcome("sdcn", [0.6, 0.7], stamp="a stamp"), outcome("magi", [0.5, 0.7])
    for one, values in ((best, [0.72, 0.76]), (other, [0.8, 0.96])):
        mean = sum(values) / 2
        scores = {name: {"mean": mean, "std": 0.02, "values": values} for name in ("acc", "nmi", "ari", "f1")}
        one.metrics["oracle"] = {**scores, "epoch": [3, 4], "stamp": STAMP}
    return [bare, other, best]


def test_oracles_have_a_stamped_column_and_change_nothing_else(oracles, recipes):
    lines = bench_markdown(SUITE, bench_blocks(SUITE, oracles), oracles).splitlines()
    (head,) = [at for at, line in enumerate(lines) if line.startswith("| method")]
    table = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[head:] if line.startswith("| ")]
    assert table[0][:7] == ["method", "acc", "nmi", "ari", "f1", "oracle acc [1]", "gain in acc"]
    column = {row[0]: row[5] for row in table[1:] if len(row) > 5}
    assert column == {
        "pamc": "0.7400 ± 0.0200", "sdcn [2]": "0.8800 ± 0.0200", "magi": "", "*baselines*": "", "k\\|means": "",
        "*published, by other protocols: not comparable*": "", "sdcn [3]": "",
    }  # fmt: skip
    note = f"1. oracle acc: of the same training. STAMPED {STAMP}"
    assert note in lines
    assert lines[lines.index(note) + 1] == "2. a stamp"
    assert lines[-1].endswith("Clusters that are made once, at the end of training, have no oracle acc.")
    rest = [row[:5] + row[6:] for row in table]
    for one in oracles:
        one.metrics.pop("oracle", None)
    lines = bench_markdown(SUITE, bench_blocks(SUITE, oracles), oracles).splitlines()
    plain = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[head:] if line.startswith("| ")]
    assert [row[1:] for row in rest] == [row[1:] for row in plain], "order, figures and tests"


def test_the_page_and_the_csv_have_the_oracles_too(oracles, recipes):
    blocks = bench_blocks(SUITE, oracles)
    page = bench_html(SUITE, blocks, oracles)
    assert "<th>oracle acc [1]</th>" in page
    assert "<td>0.8800 ± 0.0200</td>" in page
    assert f"STAMPED {STAMP}" in page
    frame = pl.read_csv(io.StringIO(bench_csv(SUITE, blocks))).filter(kind="system")
    assert frame["method"].to_list() == ["pamc", "sdcn", "magi"]
    for metric in SUITE.metrics:
        assert frame[f"oracle {metric}"].to_list() == [0.74, 0.88, None]
        assert frame[f"oracle {metric} std"].to_list() == [0.02, 0.02, None]
    assert "oracle" not in bench_csv(SUITE, bench_blocks(SUITE, oracles[:1]))


class Reader(HTMLParser):
    """Cells of all rows, and whether every tag that was opened is closed."""

    def __init__(self):
        super().__init__()
        self.rows, self.open, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)


def test_the_page_has_the_same_figures_and_loads_nothing(outcome, recipes):
    outcomes = [outcome("pamc", [0.65, 0.75], stamp="<b>&"), Outcome(Cell(resolve("sdcn", "karate"), None), failure="x < y")]
    blocks = bench_blocks(SUITE, outcomes)
    page = bench_html(SUITE, blocks, outcomes)
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    assert reader.links == []
    assert ["pamc [1]", *["0.7000 ± 0.0250"] * 4] == reader.rows[1][:5]
    assert [len(row) for row in reader.rows] == [10, 8 + 2, 1, 5, 1, 3]
    assert "&lt;b&gt;&amp;" in page
    assert "Failed: sdcn on karate: x &lt; y" in page


def test_a_run_without_scores_says_why(outcome):
    cell = outcome("grace", [0.5], name=None, unscored="there are too few nodes")
    cell = replace(cell, metrics={**cell.metrics, "metrics": {}, "baselines": {}})
    text = bench_markdown(find_suite("node"), bench_blocks(find_suite("node"), [cell]), [cell])
    assert "Protocol: not scored." in text
    assert "1. there are too few nodes" in text


def test_failures_are_listed_below_the_tables(outcome):
    outcomes = [Outcome(Cell(resolve("sdcn", "karate"), None), failure="it diverged")]
    text = bench_markdown(SUITE, bench_blocks(SUITE, outcomes), outcomes)
    assert text.splitlines()[-1] == "Failed: sdcn on karate: it diverged"
    assert "##" not in text


def test_users_add_their_columns_to_a_recommendation_table(metrics, tmp_path):
    suite, cell = find_suite("recsys"), Cell(resolve("lightgcn", "davis"), tmp_path)
    cell.folder.mkdir(parents=True)
    rows = [("lightgcn", user, 0.5 + user / 10) for user in range(4)] + [("ease", user, 0.3) for user in range(4)]
    pl.DataFrame(rows, schema=["method", "user", "ndcg@20"], orient="row").write_parquet(cell.folder / "per_user.parquet")
    protocol = {"name": "recommendation", "id": "lit-ratio", "selection": "valid", "refit": False, "stamp": None}
    content = metrics(seeds=1) | {"system": "lightgcn", "dataset": "davis", "protocol": protocol}
    one = json.loads('{"ndcg@20": {"mean": 0.65, "std": 0.0, "values": [0.65]}}')
    content |= {"metrics": one, "baselines": {"ease": {"ndcg@20": {"mean": 0.3, "std": 0.0, "values": [0.3]}}}}
    content["seconds"]["baselines"] = {"ease": 1.25}
    outcomes = [Outcome(cell, content, DATA)]
    lines = bench_markdown(suite, bench_blocks(suite, outcomes), outcomes).splitlines()
    (line,) = [line for line in lines if line.startswith("| lightgcn")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:5] == ["lightgcn", "0.6500", "+0.3500 over ease", "", ""]
    low, high = (float(bound) for bound in cells[5].split(" .. "))
    assert 0.2 <= low < 0.35 < high <= 0.5
    assert cells[6] == "0.0002"
    assert any(line.startswith("| ease | 0.3000 |") and "| 1.2 |" in line for line in lines)


def test_what_pre_training_took_has_a_column_where_a_system_pre_trains(outcome, recipes):
    plain, pretrained = outcome("pamc", [0.6]), outcome("sdcn", [0.5])
    plain.metrics["seconds"]["pretraining"] = {"mean": 0.0, "std": 0.0, "values": [0.0]}
    assert "pre-training" not in bench_markdown(SUITE, bench_blocks(SUITE, [plain]), [plain])
    pretrained.metrics["seconds"]["pretraining"] = {"mean": 4.25, "std": 0.0, "values": [4.25]}
    blocks = bench_blocks(SUITE, [plain, pretrained])
    lines = bench_markdown(SUITE, blocks, [plain, pretrained]).splitlines()
    head, first, second = (
        lines[lines.index(next(line for line in lines if line.startswith("| method"))) + at] for at in (0, 2, 3)
    )
    assert head.endswith("| seconds | of it pre-training | peak MB |")
    assert first.endswith("| 12.3 |  | 612 |")
    assert second.endswith("| 12.3 | 4.2 | 612 |")
    assert "<th>of it pre-training</th>" in bench_html(SUITE, blocks, [])
    frame = pl.read_csv(io.StringIO(bench_csv(SUITE, blocks)))
    assert frame.filter(kind="system")["pretraining_seconds"].to_list() == [None, 4.25]
