"""Which published sets can be downloaded: where each file is, what it must hash to, and what sizes to expect.

A checksum stands here only where it is known: of the Planetoid files it was taken from copies, and of ``data.json`` and
``arxiv.zip`` it is what several projects that fetched them from the same address have on record. Every other file is
trusted on first use: it must read cleanly and have the published sizes, then its checksum is recorded in ``SHA256SUMS``
beside it and holds from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from graphcl.datasets.catalogue import Record


@dataclass(frozen=True)
class Remote:
    """A file to download.

    Args:
        url: Where it is published.
        sha256: What it must hash to; ``None`` where that is not known.
    """

    url: str
    sha256: str | None = None

    @property
    def name(self) -> str:
        """What the file is called, there and here."""
        return self.url.rsplit("/", 1)[1]


@dataclass(frozen=True)
class Source:
    """A set that can be downloaded.

    Args:
        name: The folder it goes to, ``ROOT/domain/name/raw``.
        domain: The folder above.
        alias: A shorter name the literature uses; empty for none.
        title: A few words.
        kind: What reads the files.
        home: Where its authors publish it.
        licence: As stated there.
        files: What to fetch.
        counts: Published sizes, checked after reading; ``listed`` is edge rows as stored, the others as in ``Provenance``.
    """

    name: str
    domain: str
    alias: str
    title: str
    kind: Literal["planetoid", "attributed", "wikics", "ogb"]
    home: str
    licence: str
    files: tuple[Remote, ...]
    counts: Mapping[str, int] = field(hash=False)

    @property
    def full_name(self) -> str:
        """``domain/name``, which no other source has."""
        return f"{self.domain}/{self.name}"

    @property
    def record(self) -> Record:
        """Origin and licence for the provenance, and what vouches for the bytes."""
        known = all(file.sha256 for file in self.files)
        vouched = "checksum known" if known else "checksum trusted on first use"
        return Record(self.title, f"{self.home} ({vouched})", self.licence, counts=self.counts)

    def folder(self, root: Path) -> Path:
        """Where the files are under a root."""
        return root / self.domain / self.name / "raw"

    def present(self, root: Path) -> bool:
        """Whether every file is under a root."""
        return all((self.folder(root) / file.name).is_file() for file in self.files)


_PLANETOID = "https://github.com/kimiyoung/planetoid"
_SHCHUR = "https://github.com/shchur/gnn-benchmark"
_WIKICS = "https://github.com/pmernyei/wiki-cs-dataset"
_OGB = "https://snap.stanford.edu/ogb/data/nodeproppred"

_PARTS = ("x", "y", "tx", "ty", "allx", "ally", "graph", "test.index")
_CORA = (
    "23cfa55d91c6f624233f5eb7b6e3f141f1bd2b2ae39608a63cf5d084bb27baab",
    "94465c14eb53e04ca262198dcbb2521ee8af60fb3f3d546cd6ca24a511b0e7d1",
    "b9afbaa4a400df991f6f02ef677e1e44da55ffc04801fd02f9e673987829226a",
    "41f5ac76596a1699cc33f53084a2419e92961c42bb75f36fc38e616d348532ad",
    "9419ba2f26f5c35243db64aba110e0f35a04851609e0dc5433450676ca6b8543",
    "2b998f5cc7fedc86e7f97ca2498f47a1ffc1462c29e2d578b23bf3f62b6e7d71",
    "58f13302f39dde8852dad6fe6d15b89b077b6d7f837626bce671ef80344b383d",
    "297ce89af2b51a6a194181c7dbe1796c6a1cf9cd9349a88383b1b1e227867875",
)
_CITESEER = (
    "d20de19150741e555de0ed037195630fc194114ebc7fd72ced62810148aa22f6",
    "8ba87e515d8e3ee3cf52f6d2c5b86aa73f11ecad825a808455209ec26cd54924",
    "539a8906a2da97628d212f2fdd668c109a8b3f0d36574b59e5d3fd5b5303da21",
    "55e5bd1ba1e733a04598753ad1a8d57957f4b8f89e74519f41f4f4938767e4ce",
    "2ac30345d95c9ec933a817ee0bdd6a5f077f8c184a20e696910192d534414668",
    "f704b2d986dde6c2669934de1f3ae5696a6cf9455c0f6b2646a2d135ea0a1c95",
    "d79a4ef9d3e7169aee8946145f6b7306e35bc79bffad26346cfb94e10e9912a7",
    "2af990671580b6b2df5d158d1038f8292e30c9cd821b5453f399659b25b723d4",
)
_UNKNOWN = (None,) * len(_PARTS)
_DATA_JSON = "9bf8cb3ef8eeae81b25e6ccbe0ea195600c205d7edf63ce04f2ec8d9c7dcb3d8"
_ARXIV = "49f85c801589ecdcc52cfaca99693aaea7b8af16a9ac3f41dd85a5f3193fe276"


def _planetoid(name: str, title: str, sums: tuple[str | None, ...], counts: dict[str, int]) -> Source:
    files = tuple(
        Remote(f"{_PLANETOID}/raw/master/data/ind.{name}.{part}", sha) for part, sha in zip(_PARTS, sums, strict=True)
    )
    return Source(name, "citation", "", title, "planetoid", _PLANETOID, "MIT (repository licence)", files, counts)


def _shchur(name: str, domain: str, alias: str, title: str, file: str, counts: dict[str, int]) -> Source:
    files = (Remote(f"{_SHCHUR}/raw/master/data/npz/{file}"),)
    return Source(name, domain, alias, title, "attributed", _SHCHUR, "MIT (repository licence)", files, counts)


def _ogb(name: str, title: str, file: str, sha256: str | None, licence: str, counts: dict[str, int]) -> Source:
    home = f"https://ogb.stanford.edu/docs/nodeprop/#{name}"
    return Source(name, "large", "", title, "ogb", home, licence, (Remote(f"{_OGB}/{file}", sha256),), counts)


def _sizes(nodes: int, edges: int | None, features: int, classes: int, listed: int | None = None) -> dict[str, int]:
    counts = {"nodes": nodes, "edges": edges, "features": features, "classes": classes, "listed": listed}
    return {key: value for key, value in counts.items() if value is not None}


SOURCES = (
    _planetoid("cora", "Cora (Planetoid)", _CORA, _sizes(2708, 5278, 1433, 7)),
    _planetoid("citeseer", "CiteSeer (Planetoid)", _CITESEER, _sizes(3327, 4552, 3703, 6)),
    _planetoid("pubmed", "PubMed (Planetoid)", _UNKNOWN, _sizes(19717, 44324, 500, 3)),
    Source(
        "wikics", "citation", "", "WikiCS, articles and their links", "wikics", _WIKICS, "MIT (repository licence)",
        (Remote(f"{_WIKICS}/raw/master/dataset/data.json", _DATA_JSON),), _sizes(11701, None, 300, 10),
    ),
    _shchur(
        "amazon_photo", "copurchase", "photo", "Amazon Photo", "amazon_electronics_photo.npz",
        _sizes(7650, 119081, 745, 8),
    ),
    _shchur(
        "amazon_computers", "copurchase", "computers", "Amazon Computers", "amazon_electronics_computers.npz",
        _sizes(13752, 245861, 767, 10),
    ),
    _shchur("coauthor_cs", "coauthor", "cs", "Coauthor CS", "ms_academic_cs.npz", _sizes(18333, 81894, 6805, 15)),
    _shchur(
        "coauthor_physics", "coauthor", "physics", "Coauthor Physics", "ms_academic_phy.npz",
        _sizes(34493, 247962, 8415, 5),
    ),
    _ogb(
        "ogbn-arxiv", "OGB arXiv citations", "arxiv.zip", _ARXIV, "ODC-BY",
        _sizes(169343, 1157799, 128, 40, listed=1166243),
    ),
    _ogb(
        "ogbn-products", "OGB Amazon co-purchases", "products.zip", None, "Amazon licence",
        _sizes(2449029, None, 100, 47, listed=61859140),
    ),
)  # fmt: skip
