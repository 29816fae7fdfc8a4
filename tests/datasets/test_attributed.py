import zipfile

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from graphcl.datasets import load
from graphcl.datasets.attributed import load_attributed
from graphcl.errors import InputError


def parts(stem, matrix):
    matrix = sp.csr_array(matrix)
    found = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr, "shape": np.array(matrix.shape)}
    return {f"{stem}_{key}": value for key, value in found.items()}


@pytest.fixture
def archive(tmp_path):
    def write(**changes):
        adjacency = np.array([[0, 1, 0], [1, 0, 1], [0, 0, 1]], dtype=np.float32)
        arrays = {
            **parts("adj", adjacency),
            **parts("attr", np.array([[1, 0], [0, 3], [2, 0]], dtype=np.float32)),
            "labels": np.array([1, 0, 1]),
            **changes,
        }
        path = tmp_path / "set.npz"
        np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
        return path

    return write


def read(path):
    return load_attributed(path, name="set", domain="copurchase")


def test_a_small_archive_is_read_as_stored(archive):
    data = read(archive(class_names=np.array(["a", "b"])))
    assert data.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert data.x.to_dense().tolist() == [[1, 0], [0, 3], [2, 0]]
    assert data.y.tolist() == [1, 0, 1]
    assert data.class_names == ["a", "b"]
    counts = data.provenance.counts
    assert [counts[key] for key in ("nodes", "edges", "self_loops", "symmetrised")] == [3, 2, 1, 1]


def test_entries_stored_twice_are_counted(archive):
    twice = {"adj_data": np.ones(3), "adj_indices": np.array([1, 1, 0]), "adj_indptr": np.array([0, 2, 3, 3])}
    assert read(archive(**twice)).provenance.counts["duplicates"] == 1


def test_dense_features_stay_dense(archive):
    gone = dict.fromkeys(("attr_data", "attr_indices", "attr_indptr", "attr_shape"))
    x = np.arange(6.0).reshape(3, 2)
    assert torch.equal(read(archive(attr_matrix=x, **gone)).x, torch.tensor(x, dtype=torch.float32))


def test_pickled_names_of_classes_are_read_without_running_anything(archive):
    names = np.array(["a", "b", "spare"], dtype=object)
    assert read(archive(class_names=names, node_names=np.array([object()], dtype=object))).class_names == ["a", "b", "spare"]


class Payload:
    def __reduce__(self):
        return (open, ("owned", "w"))


def test_a_pickle_that_asks_for_code_is_refused(archive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"class_names: the pickle asks for .*open, .*it was not executed"):
        read(archive(class_names=np.array([Payload(), Payload()], dtype=object)))
    with pytest.raises(InputError, match="'labels' holds pickled Python objects"):
        read(archive(labels=np.array([Payload()] * 3, dtype=object)))
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, "expected an array 'labels', found adj_data"),
        ({"labels": np.array([0, 1])}, "same number of nodes everywhere, got features 3, labels 2"),
        ({"adj_indices": np.array([1, 0, 2, 3])}, "adj: expected column ids from 0 to 2, got 3 in row 2"),
        ({"adj_indptr": None}, "lacks adj_indptr"),
        ({"attr_shape": np.array([3.0, 2.0])}, "attr_shape: expected two integers"),
        ({"attr_data": np.array([1, np.nan, 2])}, "attr: expected finite float32"),
        ({"class_names": np.array(["a"])}, "a name for each of 2 classes, got 1"),
        ({"class_names": np.array("a")}, "class_names: expected a list"),
        (parts("adj", np.ones((3, 2))), r"adj: expected a square matrix, got \(3, 2\)"),
        (parts("attr", np.ones((2, 2))), "expected one feature row a node, got 2 for 3"),
    ],
)
def test_ill_formed_archives_say_which_part(archive, changes, message):
    with pytest.raises(InputError, match=rf"set\.npz.*{message}"):
        read(archive(**changes))


def test_a_damaged_archive_is_said(archive, tmp_path):
    path = archive()
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="cut short or damaged"):
        read(path)
    path = archive()
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("class_names.npy", b"no array")
    with pytest.raises(InputError, match="class_names: cannot be read"):
        read(path)
    with pytest.raises(InputError, match="found none"):
        read(tmp_path / "none.npz")


@pytest.mark.parametrize("name", ["copurchase/amazon_photo", "coauthor/coauthor_cs"])
def test_the_layout_gives_the_same_graph_as_the_plain_arrays(real_root, tmp_path, name):
    source = real_root / name / "data.npz"
    if not source.is_file():
        pytest.skip(f"{name} is not under the data root")
    plain = load(name, real_root)
    with np.load(source, allow_pickle=False) as file:
        arrays = dict(file)
    index = arrays.get("edge_index_directed", arrays["edge_index"])
    ones = np.ones(index.shape[1], dtype=np.float32)
    nodes = arrays["y"].size
    features = {f"attr_{key}": arrays[f"x_{key}"] for key in ("data", "indices", "indptr", "shape")}
    adjacency = parts("adj", sp.coo_array((ones, (index[0], index[1])), shape=(nodes, nodes)))
    path = tmp_path / "set.npz"
    np.savez(path, **adjacency, **features, labels=arrays["y"], class_names=arrays["class_names"].astype(object))
    data = read(path)
    assert torch.equal(data.edge_index, plain.edge_index)
    assert torch.equal(data.y, plain.y)
    assert torch.equal(data.x.values(), plain.x.values())
    assert torch.equal(data.x.col_indices(), plain.x.col_indices())
    assert data.class_names == plain.class_names
