"""Results as a table: for the terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

# Of all that a recommendation run measures, what a table has room for; the rest is in metrics.json.
SHOWN = ("recall@10", "ndcg@10", "recall@20", "ndcg@20")
NEXT = ("hr@5", "hr@10", "hr@20", "ndcg@5", "ndcg@10", "ndcg@20")  # of a run that looks for the next item
REFIT = "refit on train and valid"  # said once, by the protocol


def result_rows(metrics: Mapping[str, Any]) -> list[tuple[str, dict[str, str]]]:
    """The system and the anchors beside it, each with ``mean ± std`` by metric; the system comes first.

    Args:
        metrics: The content of ``metrics.json``.
    """
    rows = [(metrics["system"], metrics["metrics"]), *metrics["baselines"].items()]
    names = shown_metrics(metrics["metrics"])
    return [(name, {metric: figure(scores[metric]) for metric in names}) for name, scores in rows if scores]


def shown_metrics(scores: Mapping[str, Any]) -> list[str]:
    """The metrics a table shows: all, but for a recommendation run those of `SHOWN`, for a sequential one those of `NEXT`."""
    kinds = SHOWN if "recall@20" in scores else NEXT
    return [name for name in kinds if name in scores] or list(scores)


def result_table(metrics: Mapping[str, Any]) -> Table:
    """The same for the terminal, with the protocol in the caption."""
    rows = result_rows(metrics)
    title = f"{metrics['system']} on {metrics['dataset']}"
    table = Table(title=title, caption=caption(metrics), caption_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("method", no_wrap=True)
    names = list(rows[0][1]) if rows else []
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for position, (method, values) in enumerate(rows):
        table.add_row(method, *(values[name].replace(" ", "") for name in names), style="bold" if position == 0 else None)
    return table


def result_markdown(metrics: Mapping[str, Any]) -> str:
    """The same as a Markdown table, for a paper's notes or a pull request; what the oracle notes has a column of its own."""
    rows, oracle = result_rows(metrics), metrics.get("oracle")
    names = list(rows[0][1]) if rows else []
    if rows and oracle:
        names.append("oracle acc")
        rows[0][1]["oracle acc"] = figure(oracle["acc"])
    lines = [f"| method | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    lines += [f"| {method} | {' | '.join(values.get(name, '') for name in names)} |" for method, values in rows]
    lines += ["", oracle_note(oracle["stamp"])] if oracle else []
    return "\n".join([f"# {metrics['system']} on {metrics['dataset']}", "", *lines, "", caption(metrics), ""])


def oracle_note(stamp: str) -> str:
    """What must stand below a column of oracles."""
    return f"oracle acc: of the same training. STAMPED {stamp}"


def caption(metrics: Mapping[str, Any]) -> str:
    """How the numbers came about, in a line: seeds, protocol, time, memory, and the stamp if there is one."""
    protocol, seconds = metrics["protocol"], metrics["seconds"]["training"]
    count = len(metrics["seeds"])
    parts = [
        f"mean ± std over {count} seeds" if count > 1 else "one seed",
        *_told(metrics),
        f"training {seconds['mean']:.1f} s a seed",
        f"peak memory {metrics['peak_memory_mb']:.0f} MB",
    ]
    if protocol.get("features") == "positional":
        parts.append("positional features (the graph brought none)")
    return ", ".join(parts) + (f". STAMPED {protocol['stamp']}" if protocol["stamp"] else "")


def rules(protocol: Mapping[str, Any]) -> list[str]:
    """The protocol in words: what must be the same for two runs to be compared."""
    if protocol["name"] is None:
        return ["not scored"]
    if protocol["name"] == "clustering":
        return [f"selection: {protocol['selection']}", f"K = {protocol['n_clusters']}"]
    if protocol["name"] == "recommendation":
        refit = [REFIT] if protocol["refit"] else []
        return ["all items ranked", f"protocol {protocol['id']}", f"selection={protocol['selection']}", *refit]
    count = protocol["splits"]
    return [f"linear probe, {protocol['name']}" + (f" x {count}" if count > 1 else " split")]


def _told(metrics: Mapping[str, Any]) -> list[str]:
    """The protocol, and what of it belongs to this run alone."""
    protocol = metrics["protocol"]
    parts = rules(protocol)
    if protocol["name"] == "clustering":
        parts[-1] += _fewer(protocol)
    elif protocol["name"] == "recommendation":
        amiss = [f"{name} {said}" for name, said in protocol["checks"].items() if said not in ("passed", REFIT)]
        parts.append(f"checks: {'; '.join(amiss)}" if amiss else f"checks passed: {', '.join(protocol['checks'])}")
    elif protocol["name"] is not None:
        if protocol["splits"] > 1:
            parts.append(f"acc std over splits {metrics['split_std']['acc']:.4f}")
        parts += [f"{name} on {fewer} of the splits only" for name, fewer in protocol["baseline_splits"].items()]
    return parts


def _fewer(protocol: Mapping[str, Any]) -> str:
    """Says so when clusters lost all their members."""
    least = min(protocol["clusters_found"])
    return f" ({least} found)" if least < protocol["n_clusters"] else ""


def figure(value: Mapping[str, Any]) -> str:
    """The mean, and over several values ``± std``."""
    return f"{value['mean']:.4f}" + (f" ± {value['std']:.4f}" if len(value["values"]) > 1 else "")
