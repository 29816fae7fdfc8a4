import os
import pickle
import shutil

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from graphcl.datasets import load, load_planetoid
from graphcl.datasets.planetoid import raw_name
from graphcl.errors import InputError


@pytest.mark.parametrize("name", ["cora", "citeseer"])
def test_raw_files_and_archive_are_the_same_graph(real_root, name):
    raw, stored = load_planetoid(real_root / "citation" / name, name), load(name, real_root, prefer="citation")
    for key in ("edge_index", "y", "train_mask", "val_mask", "test_mask"):
        assert torch.equal(raw[key], stored[key]), key
    for part in ("crow_indices", "col_indices", "values"):
        assert torch.equal(getattr(raw.x, part)(), getattr(stored.x, part)()), part
    assert ("unlabelled" in raw) == ("unlabelled" in stored) == (name == "citeseer")
    if name == "citeseer":
        assert torch.equal(raw.unlabelled, stored.unlabelled)
        assert int(raw.unlabelled.sum()) == 15


@pytest.fixture
def tiny(tmp_path):
    """Five nodes with known labels, test ids 6 and 5, and id 7 tested last so that none is skipped; then 8 is skipped by 9."""
    eye = np.eye(2, dtype=np.int32)
    content = {
        "x": sp.csr_matrix(np.ones((2, 3), dtype=np.float32)),
        "y": eye,
        "allx": sp.csr_matrix(np.arange(15, dtype=np.float32).reshape(5, 3)),
        "ally": eye[[0, 1, 0, 1, 0]],
        "tx": sp.csr_matrix(np.array([[60, 0, 0], [50, 0, 0], [90, 0, 0]], dtype=np.float32)),
        "ty": eye[[1, 0, 1]],
        "graph": {0: [1, 1], 1: [0], 6: [9, 6]},
    }
    for part, value in content.items():
        (tmp_path / f"ind.tiny.{part}").write_bytes(pickle.dumps(value, protocol=2))
    (tmp_path / "ind.tiny.test.index").write_text("6\n5\n9\n")
    return tmp_path


def test_test_rows_go_to_their_ids_and_skipped_ids_are_marked(tiny):
    data = load_planetoid(tiny, "tiny")
    assert data.num_nodes == 10
    assert data.x.to_dense()[:, 0].tolist() == [0, 3, 6, 9, 12, 50, 60, 0, 0, 90]
    assert data.y.tolist() == [0, 1, 0, 1, 0, 0, 1, 0, 0, 1]
    assert data.unlabelled.nonzero().flatten().tolist() == [7, 8]
    assert data.train_mask.nonzero().flatten().tolist() == [0, 1]
    assert data.val_mask.nonzero().flatten().tolist() == [2, 3, 4]
    assert data.test_mask.nonzero().flatten().tolist() == [5, 6, 9]
    assert data.edge_index.tolist() == [[0, 1, 6, 9], [1, 0, 9, 6]]
    assert data.provenance.counts["self_loops"] == 1


class Attack:
    def __reduce__(self):
        return os.system, ("touch ran",)


def test_a_malicious_raw_file_is_refused(tiny, monkeypatch):
    monkeypatch.chdir(tiny)
    (tiny / "ind.tiny.allx").write_bytes(pickle.dumps(Attack(), protocol=2))
    with pytest.raises(InputError, match=r"ind\.tiny\.allx: .*\.system.*not executed"):
        load_planetoid(tiny, "tiny")
    assert not (tiny / "ran").exists()


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("allx", [1], "expected a pickled CSR matrix, got list"),
        ("ally", {1: 2}, "expected a pickled table of labels, got dict"),
        ("ty", np.eye(2), "expected as many labels as feature rows"),
        ("tx", sp.csr_matrix(np.ones((3, 5))), "differ in columns"),
        ("graph", [1], "expected a pickled dictionary of neighbour lists"),
        ("graph", {0: [99]}, "got 99"),
        ("graph", {0: ["a"]}, "expected integer node ids"),
        ("graph", {}, "the graph is empty"),
    ],
)
def test_files_that_do_not_fit_are_named(tiny, part, value, message):
    (tiny / f"ind.tiny.{part}").write_bytes(pickle.dumps(value, protocol=2))
    with pytest.raises(InputError, match=message):
        load_planetoid(tiny, "tiny")


def test_a_csr_matrix_that_would_crash_compiled_code_is_refused(tiny):
    matrix = sp.csr_matrix(np.ones((5, 3)))
    matrix.indices[3] = 10**6
    (tiny / "ind.tiny.allx").write_bytes(pickle.dumps(matrix, protocol=2))
    with pytest.raises(InputError, match="column ids from 0 to 2, got 1000000"):
        load_planetoid(tiny, "tiny")


@pytest.mark.parametrize(
    ("text", "message"), [("a", "one integer a line"), ("", "got none"), ("6\n6\n9", "got repeats"), ("1\n5\n6", "ids of allx")]
)
def test_a_bad_test_index_is_refused(tiny, text, message):
    (tiny / "ind.tiny.test.index").write_text(text)
    with pytest.raises(InputError, match=message):
        load_planetoid(tiny, "tiny")


def test_missing_files_are_listed(tiny):
    (tiny / "ind.tiny.ty").unlink()
    with pytest.raises(InputError, match=r"lacks ind\.tiny\.ty"):
        load_planetoid(tiny, "tiny")


def test_the_raw_name_is_found_or_asked_for(tiny):
    assert raw_name(tiny, "other") == "tiny"
    shutil.copy(tiny / "ind.tiny.graph", tiny / "ind.two.graph")
    assert raw_name(tiny, "two") == "two"
    with pytest.raises(InputError, match="found tiny, two"):
        raw_name(tiny, "other")
