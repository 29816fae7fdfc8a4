"""How good a scorer's lists are, on every user that has something to find, with all that must be known to trust the number."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from torch import Tensor

from graphcl.errors import InputError, unknown_name
from graphcl.recsys.ranking import leakage
from graphcl.recsys.ranking.baseline import popular_lists
from graphcl.recsys.ranking.exposure import EXPOSURE, coverage, exposures, gini, novelty
from graphcl.recsys.ranking.metrics import LINEAR, METRICS, Floats, check_lengths, hits_of, score_lists
from graphcl.recsys.ranking.protocols import RankingProtocol, ranking_protocol
from graphcl.recsys.ranking.rows import (
    Flags,
    HasParts,
    HasRows,
    Ints,
    ItemIds,
    check_rows,
    degrees,
    fingerprint,
    popularity,
    union,
)
from graphcl.recsys.ranking.ties import hit_chances, ties_at
from graphcl.recsys.ranking.top_k import Scorer, chunks

ALL_METRICS = ("recall", "precision", "ndcg", "hr", "mrr", "map", *EXPOSURE)
TIES = 0.001  # share of tied lists from which the means over random orders are given too
REPEATS = 0.005  # share of repeated targets from which both ways of masking are given


@dataclass(frozen=True, eq=False)
class RankingResult:
    """Means over users of one scorer on one part of one split.

    Args:
        protocol: Id of the rules; numbers of two ids never share a table.
        part: ``"test"`` or ``"valid"``.
        data: Hash of the three parts.
        metrics: ``"recall@20"`` and so on, as fractions; novelty in bits.
        per_user: One row for each scored user: ``user``, ``targets``, ``cold_targets``, ``history`` and every metric of a list.
        counts: Users scored and left out for want of targets, those without history, targets and cold ones, items, candidates;
            for a test part how often one of this content was scored in this process.
        ties: For each length the number of lists that end between equal scores.
        expected: Means over random orders of equal scores, where more than 0.1 % of the lists end in a tie, of the metrics
            that have an exact one.
        companions: The same metrics on other terms, where these make a difference: ``"warm_users"``, ``"warm_only"`` (targets
            that training knows) and ``"seen listed"`` or ``"seen masked"``.
        baseline: The same metrics of the most popular unseen items; empty on validation.
        checks: What was checked against leaks, and how it ended.
        stamps: What must stand beside the numbers.
        seconds: Of everything.
    """

    protocol: str
    part: str
    data: str
    metrics: Mapping[str, float]
    per_user: pl.DataFrame
    counts: Mapping[str, int]
    ties: Mapping[int, int]
    expected: Mapping[str, float]
    companions: Mapping[str, Mapping[str, float]]
    baseline: Mapping[str, float]
    checks: Mapping[str, str]
    stamps: tuple[str, ...]
    seconds: float

    def improvement(self, other: RankingResult, metric: str) -> float:
        """Relative gain over another scorer, ``mine / theirs - 1``.

        Raises:
            InputError: Another protocol, part or data, an unknown metric, or nothing to compare with.
        """
        for name in ("protocol", "part", "data"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise InputError(f"results of different {name} are not compared; got '{mine}' and '{theirs}'")
        if metric not in self.metrics or metric not in other.metrics:
            raise unknown_name("metric of both results", metric, set(self.metrics) & set(other.metrics))
        if other.metrics[metric] == 0:
            raise InputError(f"the other result has {metric} = 0: a gain over nothing is no number")
        return self.metrics[metric] / other.metrics[metric] - 1


def evaluate(
    scorer: Scorer | tuple[Tensor, ...],
    split: HasParts,
    ks: Sequence[int] = (10, 20),
    metrics: Sequence[str] = ALL_METRICS,
    *,
    part: Literal["test", "valid"] = "test",
    protocol: str | None = None,
    mask_seen: bool | None = None,
    chunk: int | None = None,
) -> RankingResult:
    """Rank every item for every user with targets, exactly, and score the lists by the split's protocol.

    The past of a user is training when validation is scored, and training with validation when the test is; the scorer is
    judged with the past masked unless the protocol or ``mask_seen`` say otherwise. Users without targets are left out and
    counted. Targets that cannot be listed, because training does not know them, count as misses. Every user weighs the same.

    Before: parts that share pairs, a past that is newer than the test, a model of another graph, or scores that change from
    call to call are refused. After: lists must hit random targets by chance only, and must beat the most popular items; both
    are told by ``checks`` and ``stamps``. The test part is not touched when validation is scored.

    Time that of ``top_k`` and ``O(U K log)``; memory ``O(U K)`` and one chunk of scores.

    Args:
        scorer: As in ``top_k``. Where it has ``trained_on``, the fingerprint of its training rows, that is checked.
        split: The parts; its own ``protocol`` where it has one.
        ks: Lengths of the lists.
        metrics: Names of ``METRICS`` and ``coverage``, ``gini``, ``novelty``.
        part: What is scored.
        protocol: Id, of a family ``strict``, ``lit-files``, ``lit-ratio``, ``lit-loo`` or a name that goes on from there. It
            may narrow the split's own, as ``lit-ratio-ngcf`` does ``lit-ratio``, and name what came as files.
        mask_seen: Overrides the protocol, and shows in the id.
        chunk: Users at a time.

    Raises:
        InputError: A leak as above, an unknown name, a part that is missing or empty, or what ``top_k`` refuses.
    """
    start = time.perf_counter()
    rules, label = _rules(split, protocol, mask_seen)
    check_lengths(ks)
    for name in metrics:
        if name not in METRICS and name not in EXPOSURE:
            raise unknown_name("ranking metric", name, (*METRICS, *EXPOSURE))
    task = _task(split, part, rules, ks, metrics, chunk)
    checks = _checks_before(scorer, split, part, rules, task)
    masked = rules.mask_seen if mask_seen is None else mask_seen
    lists = _rank(scorer, task, masked)
    means, frame = _scores(task, lists)
    companions = _companions(task, lists, frame)
    repeats = leakage.repeated_share(task.past, task.target) if rules.repeats else 0.0
    if repeats > REPEATS:
        other = _rank(scorer, task, not masked)
        companions["seen listed" if masked else "seen masked"] = _scores(task, other)[0]
    baseline: Mapping[str, float] = {}
    counts = _counts(task)
    if part == "test":
        counts["test_reads"] = leakage.count_test_read(task.target)
        popular = popular_lists(task.known, task.users, max(ks), task.past if masked else None, task.candidates)
        baseline = _scores(task, _Lists(popular, hits_of(popular, task.users, task.target), None, {}, False))[0]
    checks["chance"] = leakage.check_chance(
        lists.items, task.users, task.target, task.past if masked else None, task.candidates
    )
    expected: Mapping[str, float] = {}
    if lists.chances is not None and max(lists.ties.values()) > TIES * len(task.users):
        names = [name for name in metrics if name in LINEAR]
        expected = {name: float(v.mean()) for name, v in score_lists(lists.chances, task.sizes, ks, names).items()}
    return RankingResult(
        label,
        part,
        _data_hash(split, part),
        means,
        frame,
        counts,
        lists.ties,
        expected,
        companions,
        baseline,
        checks,
        tuple(_stamps(split, task, lists, means, baseline, checks, repeats)),
        time.perf_counter() - start,
    )


@dataclass(frozen=True, eq=False)
class _Task:
    """What is ranked: ``past`` may be masked, ``target`` is to be found; ``known`` counts training users of each item."""

    train: HasRows
    past: HasRows
    target: HasRows
    users: Ints
    sizes: Ints
    cold: Ints
    known: Ints
    candidates: Ints
    ks: Sequence[int]
    metrics: Sequence[str]
    chunk: int | None


@dataclass(frozen=True, eq=False)
class _Lists:
    items: ItemIds
    hits: Flags
    chances: Floats | None
    ties: dict[int, int]
    constant: bool


def _rules(split: HasParts, protocol: str | None, mask_seen: bool | None) -> tuple[RankingProtocol, str]:
    own = getattr(split, "protocol", None)
    name = protocol if protocol is not None else own
    if not isinstance(name, str):
        raise InputError("every number needs a protocol: the split has none, so pass protocol='strict' or 'lit-ratio', say")
    rules = ranking_protocol(name)
    if isinstance(own, str) and name != own and not name.startswith("lit-" if own == "lit-files" else own + "-"):
        raise InputError(f"the split was made by protocol '{own}'; got '{name}': numbers carry the id of their split")
    if mask_seen is None or mask_seen == rules.mask_seen:
        return rules, name
    return rules, f"{name} (seen {'masked' if mask_seen else 'listed'})"


def _task(
    split: HasParts, part: str, rules: RankingProtocol, ks: Sequence[int], metrics: Sequence[str], chunk: int | None
) -> _Task:
    train, valid = split.train, split.valid
    if part not in ("test", "valid"):
        raise unknown_name("part", part, ("test", "valid"))
    if part == "valid" and valid is None:
        raise InputError("the split has no validation part: score the test part, or hold out some of training")
    target = split.test if part == "test" or valid is None else valid
    present = [("train", train), ("valid", valid)] + ([("test", target)] if part == "test" else [])
    for name, rows in present:
        if rows is not None:
            check_rows(rows, name)
    leakage.check_same_ids([rows for _, rows in present if rows is not None])
    users = np.flatnonzero(degrees(target))
    if users.size == 0:
        raise InputError(f"the {part} part is empty: there is nothing to find")
    known = popularity(train)
    sizes = degrees(target)[users]
    cold = np.add.reduceat((known[target.indices] == 0).astype(np.int64), target.indptr[users])
    candidates = np.flatnonzero(known) if rules.trained_only else np.arange(train.num_items)
    if candidates.size == 0:
        raise InputError("no item may be listed: the training part is empty")
    past = train if part == "valid" or valid is None else union(train, valid)
    return _Task(train, past, target, users, sizes, cold, known, candidates, ks, metrics, chunk)


def _checks_before(
    scorer: Scorer | tuple[Tensor, ...], split: HasParts, part: str, rules: RankingProtocol, task: _Task
) -> dict[str, str]:
    checks = {"disjoint": "repeats are allowed"}
    if not rules.repeats:
        leakage.check_disjoint(task.train, split.valid, split.test if part == "test" else None)
        checks["disjoint"] = "passed"
    if rules.in_time:
        checks["time"] = leakage.check_time(task.train, task.target)
    checks["graph"] = leakage.check_graph(scorer, task.train, split.valid)
    leakage.check_repeatable(scorer, task.users)
    checks["repeatable"] = "passed"
    return checks


def _rank(scorer: Scorer | tuple[Tensor, ...], task: _Task, masked: bool) -> _Lists:
    longest = max(task.ks)
    few = None if len(task.candidates) == task.train.num_items else task.candidates
    items, hits, chances = [], [], []
    ties, constant = dict.fromkeys(task.ks, 0), True
    for part in chunks(scorer, task.users, longest, task.past if masked else None, few, task.chunk):
        items.append(part.items.cpu().numpy())
        hits.append(hits_of(items[-1], part.users, task.target))
        chances.append(hit_chances(part, hits[-1], task.target))
        scores, tied = part.scores.cpu().numpy(), part.tied.cpu().numpy()
        for k in task.ks:
            ties[k] += ties_at(scores, tied, k)
        constant = constant and bool((tied & (scores[:, 0] == scores[:, -1])).all())
    return _Lists(np.concatenate(items), np.concatenate(hits), np.concatenate(chances), ties, constant)


def _scores(task: _Task, lists: _Lists) -> tuple[dict[str, float], pl.DataFrame]:
    """Means in the order of the metrics asked for, and the frame."""
    columns = score_lists(lists.hits, task.sizes, task.ks, [name for name in task.metrics if name in METRICS])
    means = {}
    for name in task.metrics:
        for k in task.ks:
            key, top = f"{name}@{k}", lists.items[:, :k]
            if name == "novelty":
                columns[key] = novelty(top, task.known, task.train.num_users)
            if name in ("coverage", "gini"):
                counts = exposures(top, task.train.num_items)[task.candidates]
                means[key] = coverage(counts) if name == "coverage" else gini(counts)
            else:
                means[key] = _mean(columns[key])
    facts = {"user": task.users, "targets": task.sizes, "cold_targets": task.cold, "history": degrees(task.past)[task.users]}
    return means, pl.DataFrame(facts | columns)


def _companions(task: _Task, lists: _Lists, frame: pl.DataFrame) -> dict[str, Mapping[str, float]]:
    """The same users' metrics without users who have no history, and without targets that nobody could list."""
    result: dict[str, Mapping[str, float]] = {}
    names = [name for name in task.metrics if name in METRICS]
    warm = frame["history"].to_numpy() > 0
    if warm.any() and not warm.all():
        result["warm_users"] = {key: _mean(frame[key].to_numpy()[warm]) for key in frame.columns[4:]}
    sizes = task.sizes - task.cold
    if task.cold.any() and (sizes > 0).any():
        scores = score_lists((lists.hits & ~_cold_items(task, lists))[sizes > 0], sizes[sizes > 0], task.ks, names)
        result["warm_only"] = {key: _mean(values) for key, values in scores.items()}
    return result


def _cold_items(task: _Task, lists: _Lists) -> Flags:
    return np.asarray((task.known == 0)[np.maximum(lists.items, 0)])


def _counts(task: _Task) -> dict[str, int]:
    return {
        "users": len(task.users),
        "users_without_targets": task.train.num_users - len(task.users),
        "users_without_history": int((degrees(task.past)[task.users] == 0).sum()),
        "targets": int(task.sizes.sum()),
        "cold_targets": int(task.cold.sum()),
        "items": task.train.num_items,
        "candidates": len(task.candidates),
    }


def _stamps(
    split: HasParts,
    task: _Task,
    lists: _Lists,
    means: Mapping[str, float],
    baseline: Mapping[str, float],
    checks: Mapping[str, str],
    repeats: float,
) -> list[str]:
    stamps = []
    if split.valid is None:
        stamps.append("no validation part")
    elif getattr(split, "selection", "valid") != "valid":
        stamps.append(f"selection={getattr(split, 'selection', '')}")
    if checks["graph"].startswith("refit"):
        stamps.append(checks["graph"])
    if checks["chance"] != "passed":
        stamps.append(f"random targets: {checks['chance']}")
    if lists.constant:
        stamps.append("every list is the order of item ids: the scorer gives all items one score")
    if repeats > REPEATS:
        stamps.append(f"{repeats:.1%} of the targets repeat the user's past")
    key = next((f"{name}@{max(task.ks)}" for name in ("ndcg", "recall", *METRICS) if name in task.metrics), "none")
    if key in baseline and means[key] < baseline[key]:
        stamps.append(f"below popularity: {key} {means[key]:.4f} < {baseline[key]:.4f}")
    return stamps


def _mean(values: npt.NDArray[np.floating]) -> float:
    """Over users; NaN is no value."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if there.size else float("nan")


def _data_hash(split: HasParts, part: str) -> str:
    parts = [split.train, split.valid, split.test if part == "test" else None]
    return "-".join("none" if rows is None else fingerprint(rows)[:8] for rows in parts)
