"""Many seeds, one line: mean, deviation and the values themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def summarise(runs: Sequence[Mapping[str, float]]) -> dict[str, dict[str, object]]:
    """Name to ``{"mean", "std", "values"}`` over the runs; the deviation is the sample's, 0 for a single run.

    Args:
        runs: One mapping per seed, all with the same names.
    """
    result: dict[str, dict[str, object]] = {}
    for name in runs[0] if runs else ():
        values = np.array([run[name] for run in runs], dtype=float)
        spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        result[name] = {"mean": float(values.mean()), "std": spread, "values": values.tolist()}
    return result
