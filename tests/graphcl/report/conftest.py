from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def metrics() -> Callable[..., dict[str, Any]]:
    """Makes the content of a ``metrics.json``, with parts of the protocol changed."""

    def value(*values: float) -> dict[str, Any]:
        return {"mean": sum(values) / len(values), "std": 0.0125, "values": list(values)}

    def make(seeds: int = 2, **protocol: Any) -> dict[str, Any]:
        def score(x: float) -> dict[str, Any]:
            return {"acc": value(*[x] * seeds), "nmi": value(*[x / 2] * seeds)}

        return {
            "system": "pamc",
            "dataset": "citation/cora",
            "protocol": {
                "name": "clustering",
                "selection": "last",
                "stamp": None,
                "n_clusters": 7,
                "clusters_found": [7],
                "features": "given",
                **protocol,
            },
            "seeds": list(range(seeds)),
            "metrics": score(0.75),
            "baselines": {"kmeans-raw": score(0.5), "kmeans-filtered-2": score(0.625)},
            "seconds": {"training": value(12.34), "total": 30.0},
            "peak_memory_mb": 612.4,
        }

    return make
