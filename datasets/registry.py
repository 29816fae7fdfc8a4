"""Names to graphs: the embedded sets, and every folder under the data root."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from graphcl.datasets.catalogue import DOMAINS, Folder, scan
from graphcl.datasets.root import VARIABLE, data_root
from graphcl.errors import InputError, unknown_name

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True)
class DatasetEntry:
    """One line of a listing.

    Args:
        name: What ``load`` takes; ``domain/name`` where the bare name would not decide.
        domain: ``"embedded"`` or the folder of sets it belongs to.
        description: A few words.
        counts: Nodes, edges, features and classes as far as they are known without reading the data.
    """

    name: str
    domain: str
    description: str
    counts: Mapping[str, int] = field(default_factory=dict, hash=False)


EMBEDDED = (
    DatasetEntry(
        "digits",
        "embedded",
        "handwritten digits, 10-nearest-neighbour graph",
        {"nodes": 1797, "edges": 12339, "features": 64, "classes": 10},
    ),
    DatasetEntry("karate", "embedded", "Zachary's karate club", {"nodes": 34, "edges": 78, "features": 0, "classes": 2}),
    DatasetEntry(
        "davis", "embedded", "Davis' southern women and the events they attended", {"nodes": 32, "edges": 89, "features": 0}
    ),
)


def names(root: str | Path | None = None) -> list[DatasetEntry]:
    """Every set that loads by name: the embedded ones, then what is under the data root.

    Args:
        root: The data root; see ``data_root``.

    Raises:
        InputError: The root was named and is not a folder, or its ``graphs.json`` is damaged.
    """
    folders = scan(data_root(root))
    taken = Counter(folder.name for folder in folders) + Counter(entry.name for entry in EMBEDDED)
    return [
        *EMBEDDED,
        *(
            DatasetEntry(
                name=folder.name if taken[folder.name] == 1 else folder.full_name,
                domain=folder.domain,
                description=folder.record.title or f"folder {folder.full_name}",
                counts=folder.counts(),
            )
            for folder in folders
        ),
    ]


def load(name: str, root: str | Path | None = None, *, prefer: str | None = None, knn: int | None = None) -> Data:
    """The graph called ``name``, checked, undirected, with its provenance.

    Args:
        name: ``digits``, ``karate`` or ``davis``; or a folder under the root, as ``name`` or ``domain/name``. A bare
            name that is embedded means the embedded set.
        root: The data root; see ``data_root``.
        prefer: The domain to take where two have a folder of that name.
        knn: Neighbours a node, for sets whose graph is a nearest-neighbour graph; their published default
            when ``None``.

    Shapes:
        returns: ``Data`` with edge_index ``(2, 2E)`` int64, both directions, sorted; x ``(N, F)`` float32, dense or
        CSR, or ``None``; y ``(N,)`` int64, or ``(N, K)`` float32 where nodes have several labels, or ``None``;
        masks ``(N,)`` bool.

    Raises:
        InputError: Unknown or ambiguous name, bad root, or a file that is damaged or not as described.
    """
    where = data_root(root)
    if prefer is not None and prefer not in DOMAINS:
        raise unknown_name("domain", prefer, DOMAINS)
    if name in {entry.name for entry in EMBEDDED}:
        from graphcl.datasets.embedded import load_embedded

        return load_embedded(name, knn)
    return _load_folder(_find(name, where, prefer), knn)


def _find(name: str, root: Path, prefer: str | None) -> Folder:
    folders = scan(root)
    hits = [folder for folder in folders if name in (folder.name, folder.full_name)]
    if len(hits) > 1 and prefer is not None:
        hits = [folder for folder in hits if folder.domain == prefer] or hits
    if len(hits) == 1:
        return hits[0]
    if hits:
        choices = " or ".join(folder.full_name for folder in hits)
        raise InputError(f"data set '{name}' is in {len(hits)} domains; say {choices}")
    embedded = [entry.name for entry in EMBEDDED]
    known = {*embedded, *(folder.name for folder in folders), *(folder.full_name for folder in folders)}
    # The nearest names are worth repeating, the plain list of all names is said better below.
    headline = str(unknown_name("data set", name, known)).split("; known:")[0].rstrip("?")
    found = ", ".join(folder.full_name for folder in folders) or "nothing"
    raise InputError(
        f"{headline}; embedded: {', '.join(sorted(embedded))}; found under {root}: {found}; "
        f"look elsewhere with --data ROOT or {VARIABLE}"
    )


def _load_folder(folder: Folder, knn: int | None) -> Data:
    if folder.bundle.is_file():
        from graphcl.datasets.bundle import load_bundle

        return load_bundle(folder.bundle, name=folder.name, domain=folder.domain, record=folder.record, knn=knn)
    from graphcl.datasets.planetoid import load_planetoid, raw_name

    if knn is not None:
        raise InputError(f"data set '{folder.full_name}' has one graph, not a choice of neighbours; leave knn out")
    raw = folder.path / "raw"
    return load_planetoid(raw, raw_name(raw, folder.name), called=folder.name, domain=folder.domain, record=folder.record)
