"""Three real graphs that ship inside dependencies, so that the first run needs no download."""

from __future__ import annotations

import networkx as nx
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch_geometric.data import Data

from graphcl.datasets.convert import from_networkx
from graphcl.datasets.knn import knn_graph
from graphcl.datasets.provenance import Provenance, hash_arrays
from graphcl.errors import InputError

_PUBLISHED = {
    "digits": (
        "scikit-learn load_digits; Alpaydin and Kaynak, 1998, UCI Optical Recognition of Handwritten Digits",
        "CC BY 4.0 (UCI); BSD-3-Clause (scikit-learn)",
    ),
    "karate": ("networkx karate_club_graph; Zachary, 1977, J. Anthropological Research 33", "BSD-3-Clause (networkx)"),
    "davis": ("networkx davis_southern_women_graph; Davis et al., 1941, Deep South", "BSD-3-Clause (networkx)"),
}


def load_embedded(name: str, knn: int | None = None) -> Data:
    """An embedded graph by name.

    Args:
        name: ``digits``, ``karate`` or ``davis``.
        knn: Neighbours a node, for ``digits`` only; 10 when ``None``.

    Raises:
        InputError: ``knn`` for a set that has one graph.
    """
    if name == "digits":
        return digits(10 if knn is None else knn)
    if knn is not None:
        raise InputError(f"data set '{name}' has one graph, not a choice of neighbours; leave knn out")
    return karate() if name == "karate" else davis()


def digits(k: int = 10) -> Data:
    """Handwritten digits, 8 x 8 pixels each, joined to their ``k`` nearest by Euclidean distance of the pixels.

    Shapes:
        returns: ``Data`` with x ``(1797, 64)`` in [0, 1], y ``(1797,)``.
    """
    pixels, classes = load_digits(return_X_y=True)
    # Sixteenths are exact in float32, so equal distances compare equal.
    x = torch.from_numpy(np.asarray(pixels / 16, dtype=np.float32))
    data = Data(x=x, edge_index=knn_graph(x, k), y=torch.from_numpy(np.asarray(classes, dtype=np.int64)), num_nodes=len(x))
    data.class_names = [str(digit) for digit in range(10)]
    return _published(data, "digits", {"knn": k})


def karate() -> Data:
    """Zachary's karate club: 34 members, the strength of their ties as ``edge_weight``, the side they took as class.

    Shapes:
        returns: ``Data`` with y ``(34,)`` and edge_weight ``(156,)``; no features.
    """
    return _published(from_networkx(nx.karate_club_graph(), label="club"), "karate", {})


def davis() -> Data:
    """Eighteen women and the fourteen events they attended, Natchez, 1930s; ``bipartite`` is 0 for women.

    Shapes:
        returns: ``Data`` with bipartite ``(32,)`` int64; no features, no classes.
    """
    graph = nx.davis_southern_women_graph()
    data = from_networkx(graph)
    data.bipartite = torch.tensor([side for _, side in graph.nodes(data="bipartite")], dtype=torch.int64)
    return _published(data, "davis", {})


def _published(data: Data, name: str, more: dict[str, int]) -> Data:
    source, licence = _PUBLISHED[name]
    if "kept" in data:  # counts of what a caller gave; nobody gave anything here
        del data.kept
    counts = {
        "nodes": int(data.num_nodes or 0),
        "edges": data.edge_index.shape[1] // 2,
        "features": 0 if data.x is None else data.x.shape[1],
        "classes": 0 if data.y is None else int(data.y.max()) + 1,
        **more,
    }
    arrays = {key: None if data[key] is None else data[key].numpy() for key in ("x", "edge_index", "y") if key in data}
    data.provenance = Provenance(name, "embedded", source, licence, hash_arrays(arrays), counts)
    return data
