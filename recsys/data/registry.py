"""Names to splits: the embedded set and every folder under the data root."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import networkx as nx
import numpy as np
import torch

from graphcl.datasets.registry import DatasetEntry
from graphcl.datasets.root import VARIABLE, data_root
from graphcl.errors import InputError, unknown_name
from graphcl.recsys.data.bundle import read_bundle
from graphcl.recsys.data.catalogue import DOMAIN, Folder, scan
from graphcl.recsys.data.events import Events
from graphcl.recsys.data.id_map import IdMap
from graphcl.recsys.data.split import Split, split_of
from graphcl.recsys.data.splits import leave_one_out, ratio_split

DAVIS = DatasetEntry(
    "davis", "embedded", "Davis' southern women and the events they attended", {"users": 18, "items": 14, "interactions": 89}
)


def names(root: str | Path | None = None) -> list[DatasetEntry]:
    """Every set that loads by name: the embedded one, then what is under the data root.

    Args:
        root: The data root; see ``graphcl.datasets.data_root``.

    Raises:
        InputError: The root was named and is not a folder, or a note under it is damaged.
    """
    said = {"split": "published split", "sequences": "sequences in time order, leave-one-out"}
    found = [DatasetEntry(folder.name, DOMAIN, said[folder.kind], folder.counts()) for folder in scan(data_root(root))]
    return [DAVIS, *found]


def load(name: str, root: str | Path | None = None) -> Split:
    """The split called ``name``, checked, with its provenance.

    Archives keep the split they came with. Sequences are split by leave-one-out, repeated items kept. ``davis`` is split at
    random, 8:1:1 with seed 0, the same each time.

    Args:
        name: ``davis``, or a folder under ``root/recsys``, as ``name`` or ``recsys/name``.
        root: The data root; see ``graphcl.datasets.data_root``.

    Raises:
        InputError: Unknown name, bad root, or a file that is damaged or not as described.
    """
    if name == DAVIS.name:
        split = ratio_split(davis(), generator=torch.Generator().manual_seed(0), name=name)
        source, licence = "networkx davis_southern_women_graph; Davis et al., 1941, Deep South", "BSD-3-Clause (networkx)"
        return replace(split, provenance=replace(split.provenance, domain="embedded", source=source, licence=licence))
    folder = _find(name, root)
    digest = folder.check_files()
    events = read_bundle(folder)
    if folder.kind == "sequences":
        split = leave_one_out(events["all"], repeats="keep", name=folder.name)
        provenance = replace(split.provenance, domain=DOMAIN, source=folder.source, licence=folder.licence, sha256=digest)
        return replace(split, provenance=provenance)
    parts = {part: rows.interactions("refuse") for part, rows in events.items()}
    return split_of(
        parts["train"], parts.get("valid"), parts["test"], protocol="lit-files", repeats="refuse", name=folder.name,
        domain=DOMAIN, source=folder.source, licence=folder.licence, sha256=digest,
    )  # fmt: skip


def load_events(name: str, root: str | Path | None = None) -> Events:
    """All rows of the set called ``name``, to be filtered and split another way; arguments as for ``load``.

    Weights and times are kept where every part has them. Sequences are in time order within a user and have no times.
    """
    if name == DAVIS.name:
        return davis()
    folder = _find(name, root)
    folder.check_files()
    parts = list(read_bundle(folder).values())
    weights = [part.weight for part in parts if part.weight is not None]
    times = [part.time for part in parts if part.time is not None]
    return Events(
        parts[0].users,
        parts[0].items,
        np.concatenate([part.user for part in parts]),
        np.concatenate([part.item for part in parts]),
        np.concatenate(weights) if len(weights) == len(parts) else None,
        np.concatenate(times) if len(times) == len(parts) else None,
    )


def davis() -> Events:
    """Eighteen women and the fourteen events they attended, Natchez, 1930s: 89 rows, ids as text."""
    graph = nx.davis_southern_women_graph()
    women = [node for node, side in graph.nodes(data="bipartite") if side == 0]
    users = IdMap.of(women, "user")
    items = IdMap.of([node for node, side in graph.nodes(data="bipartite") if side == 1], "item")
    pairs = [(woman, event) for woman in women for event in graph[woman]]
    user = users.encode([woman for woman, _ in pairs]).astype(np.int32)
    return Events(users, items, user, items.encode([event for _, event in pairs]).astype(np.int32))


def _find(name: str, root: str | Path | None) -> Folder:
    where = data_root(root)
    folders = {folder.name: folder for folder in scan(where)}
    found = folders.get(name.removeprefix(f"{DOMAIN}/"))
    if found is None:
        headline = str(unknown_name("data set", name, [DAVIS.name, *folders])).split("; known:")[0].rstrip("?")
        raise InputError(
            f"{headline}; embedded: {DAVIS.name}; found under {where / DOMAIN}: {', '.join(folders) or 'nothing'}; "
            f"look elsewhere with --data ROOT or {VARIABLE}"
        )
    return found
