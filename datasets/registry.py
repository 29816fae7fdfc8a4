"""Names to graphs: the embedded sets, every folder under the data root, and what can be downloaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from graphcl.datasets.catalogue import ABOUT, DOMAINS, Folder, scan
from graphcl.datasets.root import VARIABLE, cache_root, data_root
from graphcl.datasets.sources import SOURCES, Source
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
    """Every set that loads by name: the embedded ones, what is under the data root, then what can be downloaded.

    Args:
        root: The data root; see ``data_root``.

    Raises:
        InputError: The root was named and is not a folder, or its ``graphs.json`` is damaged.
    """
    where = data_root(root)
    folders, sources = _stock(where)
    taken = Counter([*(entry.name for entry in EMBEDDED), *(f.name for f in folders), *(s.name for s in sources)])
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
        *(
            DatasetEntry(
                name=source.name if taken[source.name] == 1 else source.full_name,
                domain=source.domain,
                description=source.title + ("" if _place(source, where) else " (downloaded on first use)"),
                counts=source.counts,
            )
            for source in sources
        ),
    ]


def load(
    name: str,
    root: str | Path | None = None,
    *,
    prefer: str | None = None,
    knn: int | None = None,
    download: bool = True,
) -> Data:
    """The graph called ``name``, checked, undirected, with its provenance.

    A published set is looked for under the root, then in the platform's cache folder, and downloaded to the root when it
    is in neither.

    Args:
        name: ``digits``, ``karate`` or ``davis``; a folder under the root, as ``name`` or ``domain/name``; or a set that
            can be downloaded, such as ``cora``, ``photo`` or ``ogbn-arxiv``. A bare name that is embedded means the
            embedded set, and what is there already comes before a download.
        root: The data root; see ``data_root``.
        prefer: The domain to take where two have a set of that name.
        knn: Neighbours a node, for sets whose graph is a nearest-neighbour graph; their published default
            when ``None``.
        download: Whether missing files may be fetched; ``GRAPHCL_OFFLINE=1`` forbids it too.

    Shapes:
        returns: ``Data`` with edge_index ``(2, 2E)`` int64, both directions, sorted; x ``(N, F)`` float32, dense or
        CSR, or ``None``; y ``(N,)`` int64, or ``(N, K)`` float32 where nodes have several labels, or ``None``;
        masks ``(N,)`` bool, or ``(N, S)`` where there are ``S`` splits.

    Raises:
        InputError: Unknown or ambiguous name, bad root, a file that is damaged or not as described, or a download that
            is forbidden or fails.
    """
    where = data_root(root)
    if prefer is not None and prefer not in DOMAINS:
        raise unknown_name("domain", prefer, DOMAINS)
    if name in {entry.name for entry in EMBEDDED}:
        from graphcl.datasets.embedded import load_embedded

        return load_embedded(name, knn)
    found = _find(name, where, prefer)
    if isinstance(found, Folder):
        return _load_folder(found, knn)
    if knn is not None:
        raise _one_graph(found.full_name)
    from graphcl.datasets.published import load_published

    return load_published(found, _place(found, where) or where, download=download)


def _stock(root: Path) -> tuple[list[Folder], list[Source]]:
    """Folders under the root, and sources; what both have is a source when it holds the files as published."""
    folders = scan(root)
    ready = {folder.full_name for folder in folders if folder.bundle.is_file() or (folder.path / ABOUT).is_file()}
    sources = [source for source in SOURCES if source.full_name not in ready]
    fetched = {source.full_name for source in sources}
    return [folder for folder in folders if folder.full_name not in fetched], sources


def _place(source: Source, root: Path) -> Path | None:
    """The root that has every file of a source; ``None`` when it has to be downloaded."""
    return next((place for place in (root, cache_root()) if source.present(place)), None)


def _find(name: str, root: Path, prefer: str | None) -> Folder | Source:
    folders, sources = _stock(root)
    stock: list[Folder | Source] = [*folders, *sources]
    aliases = {source.alias: source.full_name for source in SOURCES if source.alias}
    hits = [entry for entry in stock if name in (entry.name, entry.full_name)]
    hits = hits or [entry for entry in stock if entry.full_name == aliases.get(name)]
    if len(hits) > 1 and prefer is not None:
        hits = [entry for entry in hits if entry.domain == prefer] or hits
    if len(hits) > 1:
        hits = [entry for entry in hits if isinstance(entry, Folder) or _place(entry, root)] or hits
    if len(hits) == 1:
        return hits[0]
    if hits:
        choices = " or ".join(entry.full_name for entry in hits)
        raise InputError(f"data set '{name}' is in {len(hits)} domains; say {choices}")
    embedded = [entry.name for entry in EMBEDDED]
    known = {*embedded, *aliases, *(entry.name for entry in stock), *(entry.full_name for entry in stock)}
    # The nearest names are worth repeating, the plain list of all names is said better below.
    headline = str(unknown_name("data set", name, known)).split("; known:")[0].rstrip("?")
    found = ", ".join(folder.full_name for folder in folders) or "nothing"
    raise InputError(
        f"{headline}; embedded: {', '.join(sorted(embedded))}; found under {root}: {found}; "
        f"published: {', '.join(source.name for source in sources)}; look elsewhere with --data ROOT or {VARIABLE}"
    )


def _load_folder(folder: Folder, knn: int | None) -> Data:
    if folder.bundle.is_file():
        from graphcl.datasets.bundle import load_bundle

        return load_bundle(folder.bundle, name=folder.name, domain=folder.domain, record=folder.record, knn=knn)
    if (folder.path / ABOUT).is_file():
        from graphcl.datasets.mapped import load_mapped

        if knn is not None:
            raise _one_graph(folder.full_name)
        return load_mapped(folder.path, name=folder.name, domain=folder.domain)
    from graphcl.datasets.planetoid import load_planetoid, raw_name

    if knn is not None:
        raise _one_graph(folder.full_name)
    raw = folder.path / "raw"
    return load_planetoid(raw, raw_name(raw, folder.name), called=folder.name, domain=folder.domain, record=folder.record)


def _one_graph(name: str) -> InputError:
    return InputError(f"data set '{name}' has one graph, not a choice of neighbours; leave knn out")
