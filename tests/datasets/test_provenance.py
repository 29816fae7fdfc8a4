import dataclasses
import hashlib

import numpy as np
import pytest

from graphcl.datasets import Provenance
from graphcl.datasets.provenance import hash_arrays, hash_files


def test_the_summary_is_one_line_with_sizes_source_licence_and_checksum():
    counts = {"nodes": 2708, "edges": 5278, "duplicates": 0, "self_loops": 3}
    said = str(Provenance("cora", "citation", "somewhere", "MIT", "ab" * 32, counts))
    assert (
        said == "cora (citation): 2,708 nodes, 5,278 edges (self_loops 3); source: somewhere; licence: MIT; sha256 abababababab"
    )


def test_it_is_frozen_and_hashable():
    provenance = Provenance("a", "b", "c", "d", "e", {"nodes": 1})
    assert isinstance(hash(provenance), int)
    with pytest.raises(dataclasses.FrozenInstanceError):
        provenance.name = "other"


def test_hashes_follow_the_content(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert hash_files([tmp_path / "f"]) == hashlib.sha256(b"abc").hexdigest()
    a = np.arange(4)
    assert hash_arrays({"a": a, "b": None}) == hash_arrays({"a": a.copy()})
    assert (
        len({hash_arrays({"a": a}), hash_arrays({"b": a}), hash_arrays({"a": a.reshape(2, 2)}), hash_arrays({"a": a + 1})}) == 4
    )
