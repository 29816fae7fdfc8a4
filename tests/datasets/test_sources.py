import json
import re

import pytest

from graphcl.datasets.catalogue import DOMAINS
from graphcl.datasets.registry import EMBEDDED
from graphcl.datasets.sources import SOURCES, Remote


def test_no_name_means_two_sets():
    names = [name for source in SOURCES for name in (source.name, source.alias) if name]
    assert len({*names, *(entry.name for entry in EMBEDDED)}) == len(names) + len(EMBEDDED)
    assert {source.domain for source in SOURCES} <= set(DOMAINS)


def test_files_are_fetched_over_a_safe_line_and_checksums_are_checksums():
    files = [file for source in SOURCES for file in source.files]
    assert len({file.url for file in files}) == len(files)
    for file in files:
        assert file.url.startswith("https://")
        assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256)
    assert Remote("https://a/b/c.npz").name == "c.npz"


def test_the_provenance_says_what_vouches_for_the_bytes():
    vouched = {source.name: source.record.source for source in SOURCES}
    assert vouched["cora"].endswith("(checksum known)")
    assert vouched["pubmed"].endswith("(checksum trusted on first use)")


def test_files_have_a_place_under_a_root(tmp_path):
    cora = SOURCES[0]
    assert not cora.present(tmp_path)
    cora.folder(tmp_path).mkdir(parents=True)
    for file in cora.files:
        (tmp_path / "citation" / "cora" / "raw" / file.name).touch()
    assert cora.present(tmp_path)


def test_sizes_and_checksums_agree_with_the_notes_of_real_sets(real_root):
    if not (real_root / "graphs.json").is_file():
        pytest.skip("needs graphs.json under the data root")
    notes = {(e["domain"], e["name"]): e for e in json.loads((real_root / "graphs.json").read_text())["datasets"]}
    renamed = {"pubmed": "pubmed_partial"}
    compared = 0
    for source in SOURCES:
        note = notes.get((source.domain, renamed.get(source.name, source.name)))
        if note is not None:
            sizes = {key: note["stats"][key] for key in ("nodes", "undirected_edges", "features", "classes")}
            assert list(sizes.values()) == [source.counts[key] for key in ("nodes", "edges", "features", "classes")]
            known = {file["file"].removeprefix("raw/"): file["sha256"] for file in note["files"]}
            assert all(known[file.name] == file.sha256 for file in source.files if file.name in known)
            compared += 1
    assert compared >= 7
