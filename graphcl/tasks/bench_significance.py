"""Whether a system beats the best of what stands beside it, by more than seeds and users vary."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import stats

RESAMPLES = 10_000
DRAWS = 1_000_000_000  # at most, of users over all resamples: a million users are resampled a thousand times
BLOCK = 4_000_000
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """A system against the best baseline of its run, on one metric.

    Args:
        against: That baseline.
        gain: Difference of the means.
        p_t: Of a paired t test over the seeds, two-sided; ``None`` for one seed, or where all differences are the same.
        p_sign: Of a sign test over the seeds, two-sided; ``None`` for one seed, or where all differences are 0.
        users: Bounds of the middle 95 % of the gain of the first seed over resampled users; ``None`` without users.
        p_users: Two-sided, of the same resamples.
    """

    against: str
    gain: float
    p_t: float | None = None
    p_sign: float | None = None
    users: tuple[float, float] | None = None
    p_users: float | None = None


def compare(metrics: Mapping[str, Any], metric: str, folder: Path) -> Comparison | None:
    """A finished run against the baseline with the largest mean; ``None`` where there is none.

    A baseline with as many values as there are seeds is paired with them, one with a single value is the same for all.

    Args:
        metrics: The content of its ``metrics.json``.
        metric: Name of the metric.
        folder: Its folder, for ``per_user.parquet``.
    """
    known = {name: scores[metric] for name, scores in metrics["baselines"].items() if metric in scores}
    if not known or metric not in metrics["metrics"]:
        return None
    against = max(known, key=lambda name: known[name]["mean"])
    mine, theirs = (np.asarray(side["values"], dtype=float) for side in (metrics["metrics"][metric], known[against]))
    differences = mine - (theirs if len(theirs) == len(mine) else theirs.mean())
    users, p_users = None, None
    if (folder / "per_user.parquet").exists():
        gains = _by_user(folder / "per_user.parquet", metrics["system"], against, metric)
        if len(gains) > 1:
            *bounds, p_users = paired_bootstrap(gains)
            users = (bounds[0], bounds[1])
    return Comparison(against, float(differences.mean()), paired_t(differences), sign_test(differences), users, p_users)


def paired_t(differences: Sequence[float] | Floats) -> float | None:
    """Probability of a mean at least so far from 0 if the differences were normal around it, two-sided."""
    values = np.asarray(differences, dtype=float)
    if len(values) < 2 or np.ptp(values) == 0:
        return None
    t = values.mean() / (values.std(ddof=1) / math.sqrt(len(values)))
    return float(2 * stats.t.sf(abs(t), len(values) - 1))


def sign_test(differences: Sequence[float] | Floats) -> float | None:
    """Probability of signs at least so uneven if both were as likely, two-sided; zeros do not count.

    With ``n`` seeds it is ``2 ** (1 - n)`` at least, so that fewer than six cannot reach 0.05.
    """
    values = np.asarray(differences, dtype=float)
    above, below = int((values > 0).sum()), int((values < 0).sum())
    if len(values) < 2 or above + below == 0:
        return None
    return float(stats.binomtest(above, above + below).pvalue)


def paired_bootstrap(
    differences: Sequence[float] | Floats, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float, float]:
    """The middle 95 % of the mean over resampled users, and a two-sided probability that it is on the other side of 0.

    Ten thousand resamples up to a hundred thousand users, then fewer, at least 200. Time ``O(resamples U)``, memory ``O(U)``.

    Args:
        differences: One a user.
        resamples: How many.
        seed: Of the draws.

    Shapes:
        differences: ``(U,)``.
    """
    values, rng = np.asarray(differences, dtype=float), np.random.default_rng(seed)
    count = min(resamples, max(200, DRAWS // len(values)))
    rows = max(1, BLOCK // len(values))
    means = np.concatenate(
        [
            values[rng.integers(len(values), size=(min(rows, count - start), len(values)))].mean(1)
            for start in range(0, count, rows)
        ]
    )
    low, high = np.quantile(means, [0.025, 0.975])
    other = min(int((means <= 0).sum()), int((means >= 0).sum()))
    return float(low), float(high), min(1.0, 2 * (other + 1) / (count + 1))


def _by_user(path: Path, system: str, against: str, metric: str) -> Floats:
    frame = pl.read_parquet(path, columns=["method", "user", metric])
    mine, theirs = (frame.filter(pl.col("method") == name).select("user", metric) for name in (system, against))
    both = mine.join(theirs, on="user", suffix="_theirs", maintain_order="left")
    gains: Floats = (both[metric] - both[f"{metric}_theirs"]).to_numpy()
    return gains
