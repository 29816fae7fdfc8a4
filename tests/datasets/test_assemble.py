import numpy as np
import polars as pl
import pytest

from graphcl.datasets.assemble import assemble
from graphcl.datasets.edges import undirect
from graphcl.datasets.labels import Labels
from graphcl.errors import InputError

IDS = pl.Series("id", ["a", "b", "c"])


def test_counts_and_parts_are_on_the_graph():
    edges = undirect(np.array([0, 1]), np.array([1, 0]), 3)
    labels = Labels(np.array([0, 1, 0]), 2, ["u", "v"])
    data = assemble(name="n", source="s", ids=IDS, edges=edges, unknown=2, x=np.ones((3, 2), dtype=np.float32), labels=labels)
    counts = data.provenance.counts
    assert {key: counts[key] for key in ("nodes", "edges", "features", "classes", "unknown", "isolated", "reciprocal")} == {
        "nodes": 3,
        "edges": 1,
        "features": 2,
        "classes": 2,
        "unknown": 2,
        "isolated": 1,
        "reciprocal": 1,
    }
    assert data.kept.as_dict().items() <= counts.items()
    assert data.class_names == ["u", "v"]
    assert data.node_ids == ["a", "b", "c"]


def test_a_graph_needs_an_edge():
    with pytest.raises(InputError, match="none is left"):
        assemble(name="n", source="s", ids=IDS, edges=undirect(np.array([0]), np.array([0]), 3))
