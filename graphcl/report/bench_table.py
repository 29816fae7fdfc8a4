"""A benchmark as tables, one for each data set and protocol: Markdown, CSV, and a page of HTML."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from graphcl.models.recipes import find_recipe
from graphcl.report.table import figure, oracle_note, rules
from graphcl.tasks.bench_plan import Suite
from graphcl.tasks.bench_run import Outcome
from graphcl.tasks.bench_significance import Comparison, compare

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .7rem;text-align:right;white-space:nowrap}"
    "td:first-child,th:first-child{text-align:left}thead th{border-bottom:2px solid #444}"
    "tr.part td{border-top:1px solid #aaa;color:#666;font-style:italic}small{color:#555}"
)
PARTS = {"system": "", "baseline": "baselines", "published": "published, by other protocols: not comparable"}


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Args:
        kind: ``"system"``, ``"baseline"`` or ``"published"``.
        method: Whose figures they are.
        scores: Metric to ``{mean, std, values}``.
        seconds: Of training, a seed, with pre-training.
        pretraining: Seconds of pre-training, a seed, where it is a part of its own.
        memory: Peak in MB.
        comparison: Against the best baseline.
        note: What must stand beside the figures: a stamp, a source.
        oracle: What ``metrics.json`` has under that name, of epochs chosen by the labels: shown, stamped, and used for nothing.
    """

    kind: str
    method: str
    scores: Mapping[str, Mapping[str, Any]]
    seconds: float | None = None
    pretraining: float | None = None
    memory: float | None = None
    comparison: Comparison | None = None
    note: str | None = None
    oracle: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Block:
    """Figures that may be compared: one data set, one protocol.

    Args:
        dataset: Its name.
        data: Sizes and checksum in a line.
        sha256: Of the data.
        protocol: How the numbers came about.
        rows: Systems, baselines, and published figures, which are set apart; best first.
    """

    dataset: str
    data: str
    sha256: str
    protocol: str
    rows: list[Row] = field(default_factory=list)


def bench_blocks(suite: Suite, outcomes: Sequence[Outcome]) -> list[Block]:
    """Finished cells as tables, in their order. Comparisons resample users: seconds for each system.

    Args:
        suite: The benchmark.
        outcomes: What `run_bench` gives.
    """
    blocks: dict[tuple[str, str, str], Block] = {}
    for outcome in outcomes:
        metrics = outcome.metrics
        if metrics is None:
            continue
        data = outcome.data or {"sha256": "unknown", "counts": {}}
        protocol = ", ".join([*rules(metrics["protocol"]), *_more(metrics)])
        key = (metrics["dataset"], data["sha256"], protocol)
        if key not in blocks:
            blocks[key] = Block(metrics["dataset"], _described(data), data["sha256"], protocol)
        rows = blocks[key].rows
        comparison = compare(metrics, suite.main, outcome.cell.folder)
        seconds = metrics["seconds"]["training"]["mean"]
        stamp = metrics["protocol"].get("stamp") or metrics["protocol"].get("unscored")
        before = metrics["seconds"].get("pretraining", {}).get("mean") or None  # 0 is none
        memory = metrics["peak_memory_mb"]
        scores, oracle = metrics["metrics"], metrics.get("oracle", {})
        rows.append(Row("system", metrics["system"], scores, seconds, before, memory, comparison, stamp, oracle))
        _add_baselines(rows, metrics)
    for block in blocks.values():
        _add_published(block, suite)
        _put_in_order(block, suite)
    return list(blocks.values())


def bench_markdown(suite: Suite, blocks: Sequence[Block], outcomes: Sequence[Outcome]) -> str:
    """Every table under a heading, with what failed at the end."""
    lines = [f"# Benchmark: {suite.name}", ""]
    for block in blocks:
        head, body, notes = _cells(suite, block)
        lines += [f"## {block.dataset}", "", f"{block.data}.", "", f"Protocol: {block.protocol}.", ""]
        lines += [_line(head), f"|---|{'---:|' * (len(head) - 1)}"]
        for kind, cells in body:
            lines.append(_line([f"*{PARTS[kind]}*", *[""] * (len(head) - 1)] if cells is None else cells))
        lines += ["", *(f"{number}. {note}" for number, note in enumerate(notes, 1)), *([""] if notes else [])]
    lines += [_legend(suite), "", *_failures(outcomes)]
    return "\n".join(lines).rstrip() + "\n"


def bench_html(suite: Suite, blocks: Sequence[Block], outcomes: Sequence[Outcome]) -> str:
    """The same as one self-contained page."""
    title = f"Benchmark: {suite.name}"
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{_escaped(title)}</title>',
        f"<style>{STYLE}</style></head><body><h1>{_escaped(title)}</h1>",
    ]
    for block in blocks:
        head, body, notes = _cells(suite, block)
        parts.append(f"<h2>{_escaped(block.dataset)}</h2>")
        parts.append(f"<p>{_escaped(block.data)}.<br>Protocol: {_escaped(block.protocol)}.</p>")
        parts.append("<table><thead><tr>" + "".join(f"<th>{_escaped(cell)}</th>" for cell in head) + "</tr></thead><tbody>")
        for kind, cells in body:
            if cells is None:
                parts.append(f'<tr class="part"><td colspan="{len(head)}">{_escaped(PARTS[kind])}</td></tr>')
            else:
                parts.append("<tr>" + "".join(f"<td>{_escaped(cell)}</td>" for cell in cells) + "</tr>")
        parts.append("</tbody></table>")
        parts += [f"<small>{number}. {_escaped(note)}<br></small>" for number, note in enumerate(notes, 1)]
    parts += [f"<p>{_escaped(line)}</p>" for line in (_legend(suite), *_failures(outcomes))]
    return "\n".join([*parts, "</body></html>"]) + "\n"


def bench_csv(suite: Suite, blocks: Sequence[Block]) -> str:
    """One line for each row of each table, with data set, checksum and protocol on every line."""
    rows = []
    oracles = any(row.oracle for block in blocks for row in block.rows)
    for block in blocks:
        for row in block.rows:
            told = row.comparison
            scores: dict[str, float | None] = {}
            found = {"": row.scores, "oracle ": row.oracle} if oracles else {"": row.scores}
            for prefix, values in found.items():
                for metric in suite.metrics:
                    value = values.get(metric, {})
                    scores |= {f"{prefix}{metric}": value.get("mean"), f"{prefix}{metric} std": value.get("std")}
            users = (None, None) if told is None or told.users is None else told.users
            rows.append(
                {
                    "suite": suite.name,
                    "dataset": block.dataset,
                    "sha256": block.sha256,
                    "protocol": block.protocol if row.kind != "published" else "published",
                    "kind": row.kind,
                    "method": row.method,
                    "runs": max((len(value["values"]) for value in row.scores.values()), default=0),
                    **scores,
                    "seconds": row.seconds,
                    "pretraining_seconds": row.pretraining,
                    "peak_memory_mb": row.memory,
                    "against": None if told is None else told.against,
                    "gain": None if told is None else told.gain,
                    "p_t": None if told is None else told.p_t,
                    "p_sign": None if told is None else told.p_sign,
                    "users_low": users[0],
                    "users_high": users[1],
                    "p_users": None if told is None else told.p_users,
                    "note": row.note,
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None).write_csv(float_precision=6) if rows else ""


def _add_baselines(rows: list[Row], metrics: Mapping[str, Any]) -> None:
    """Those that no earlier cell had; where one of that name had other figures, it says beside which system it stood."""
    seconds = metrics["seconds"].get("baselines", {})
    for name, scores in metrics["baselines"].items():
        same = [row for row in rows if row.kind == "baseline" and row.method == name]
        if any(row.scores == scores for row in same):
            continue
        method = f"{name} (beside {metrics['system']})" if same else name
        rows.append(Row("baseline", method, scores, seconds.get(name)))


def _add_published(block: Block, suite: Suite) -> None:
    seen = []
    for system in [row.method for row in block.rows if row.kind == "system"]:
        recipe = find_recipe(system, block.dataset)
        for entry in recipe.published if recipe else ():
            scores = {name: _published(entry[name]) for name in suite.metrics if name in entry}
            facts = [f"{key}: {entry[key]}" for key in ("protocol", "selection", "source") if entry.get(key)]
            row = Row("published", str(entry.get("method", system)), scores, note="; ".join(facts) or None)
            if row not in seen:
                seen.append(row)
    block.rows.extend(seen)


def _put_in_order(block: Block, suite: Suite) -> None:
    kinds = list(PARTS)
    block.rows.sort(key=lambda row: (kinds.index(row.kind), -row.scores.get(suite.main, {}).get("mean", -1.0)))


def _published(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        std = float(value.get("std", 0.0))
        return {"mean": float(value["mean"]), "std": std, "values": [value["mean"]] * (2 if std else 1)}
    return {"mean": float(value), "std": 0.0, "values": [value]}


def _cells(suite: Suite, block: Block) -> tuple[list[str], list[tuple[str, list[str] | None]], list[str]]:
    """Heading, rows (``None`` for a separator before a kind), and the notes that rows refer to."""
    users = any(row.comparison is not None and row.comparison.users is not None for row in block.rows)
    metrics = [name for name in suite.metrics if any(name in row.scores for row in block.rows)]
    stamps = [row.oracle["stamp"] for row in block.rows if row.oracle]
    notes = [oracle_note(stamps[0])] if stamps else []
    head = ["method", *metrics, *(["oracle acc [1]"] if stamps else []), f"gain in {suite.main}", "p (t)", "p (sign)"]
    pretrained = any(row.pretraining is not None for row in block.rows)
    head += [*(["95 % over users, first seed", "p (users)"] if users else []), "seconds"]
    head += [*(["of it pre-training"] if pretrained else []), "peak MB"]
    body: list[tuple[str, list[str] | None]] = []
    for row in block.rows:
        if body and body[-1][0] != row.kind:
            body.append((row.kind, None))
        told = row.comparison
        if row.note and row.note not in notes:
            notes.append(row.note)
        mark = f" [{notes.index(row.note) + 1}]" if row.note else ""
        cells = [row.method + mark, *(figure(row.scores[name]) if name in row.scores else "" for name in metrics)]
        if stamps:
            cells.append(figure(row.oracle["acc"]) if row.oracle else "")
        cells += ["", "", ""] if told is None else [f"{told.gain:+.4f} over {told.against}", _p(told.p_t), _p(told.p_sign)]
        if users:
            some = told is not None and told.users is not None
            cells += [f"{told.users[0]:+.4f} .. {told.users[1]:+.4f}", _p(told.p_users)] if some else ["", ""]  # type: ignore[union-attr,index]
        cells.append("" if row.seconds is None else f"{row.seconds:.1f}")
        if pretrained:
            cells.append("" if row.pretraining is None else f"{row.pretraining:.1f}")
        cells.append("" if row.memory is None else f"{row.memory:.0f}")
        body.append((row.kind, cells))
    return head, body, notes


def _more(metrics: Mapping[str, Any]) -> list[str]:
    """What a caption does not say, because one run has one of it."""
    return ["positional features"] if metrics["protocol"].get("features") == "positional" else []


def _described(data: Mapping[str, Any]) -> str:
    sizes = [f"{count:,} {name}" for name, count in data["counts"].items() if count]
    return ", ".join([*sizes, f"sha256 {data['sha256'][:12]}"])


def _legend(suite: Suite) -> str:
    users = "; over users by a paired bootstrap of the first seed" if suite.task in ("recommendation", "sequential") else ""
    ends = " Clusters that are made once, at the end of training, have no oracle acc." if suite.task == "clustering" else ""
    return (
        f"Mean ± standard deviation over seeds. Gain: {suite.main} less that of the baseline with the best; p by a paired t "
        f"test and a sign test over seeds, two-sided, not corrected for the number of systems{users}. Seconds of training, "
        f"a seed.{ends}"
    )


def _failures(outcomes: Sequence[Outcome]) -> list[str]:
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    return [f"Failed: {one.cell.config.system} on {one.cell.config.dataset}: {one.failure}" for one in failed]


def _p(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}" if value >= 1e-4 else "< 0.0001"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)
