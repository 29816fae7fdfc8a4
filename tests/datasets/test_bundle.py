import copy

import numpy as np
import pytest
import torch

from graphcl.datasets.bundle import load_bundle
from graphcl.errors import InputError


def read(path, **options):
    return load_bundle(path, name="mine", domain="citation", **options)


def test_dense_features_labels_and_flags_come_through(bundle):
    flags = np.array([True, False, False, True])
    data = read(bundle(train_mask=flags, unlabelled=flags, class_names=np.array(["a", "b"]), node_id=np.array([7, 8, 9, 10])))
    assert data.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert data.x.shape == (4, 2)
    assert data.y.dtype == torch.int64
    assert data.train_mask.tolist() == data.unlabelled.tolist() == flags.tolist()
    assert data.class_names == ["a", "b"]
    assert data.node_ids == ["7", "8", "9", "10"]


def test_a_loaded_graph_copies_and_moves_like_any_other(bundle):
    data = read(bundle())
    for other in (data.clone(), copy.deepcopy(data), data.to("cpu")):
        assert other.provenance == data.provenance


def test_sparse_features_become_a_csr_tensor(bundle):
    data = read(
        bundle(
            x=None,
            x_data=np.array([1, 2], dtype=np.uint8),
            x_indices=np.array([1, 0]),
            x_indptr=np.array([0, 1, 1, 1, 2]),
            x_shape=np.array([4, 2]),
        )
    )
    assert data.x.layout == torch.sparse_csr
    assert data.x.to_dense().tolist() == [[0, 1], [0, 0], [0, 0], [2, 0]]


def test_dropped_and_added_edges_are_counted(bundle):
    data = read(bundle(edge_index=np.array([[0, 1, 1, 2, 0], [1, 0, 2, 2, 1]])))
    assert data.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    counts = data.provenance.counts
    assert (counts["duplicates"], counts["self_loops"], counts["symmetrised"]) == (1, 1, 1)


def test_directed_edges_are_made_undirected(bundle):
    directed = np.array([[0, 1, 3], [1, 2, 3]])
    data = read(bundle(edge_index=None, x=None, y=None, edge_index_directed=directed, num_nodes=np.array(5)))
    assert data.num_nodes == 5
    assert data.x is None
    assert data.edge_index.shape == (2, 4)


def test_the_published_number_of_neighbours_is_the_default(bundle):
    three, five = np.array([[0], [1]]), np.array([[0, 0], [1, 2]])
    path = bundle(edge_index=None, knn3_edge_index=three, knn5_edge_index=five, knn3_edge_index_directed=five)
    assert read(path).edge_index.shape[1] == 2
    assert read(path, knn=5).edge_index.shape[1] == 4
    assert read(path, knn=5).provenance.counts["knn"] == 5
    with pytest.raises(InputError, match="no 4-nearest-neighbour graph; stored neighbours: 3, 5"):
        read(path, knn=4)
    with pytest.raises(InputError, match="choose knn from 5, 7"):
        read(bundle(edge_index=None, knn5_edge_index=three, knn7_edge_index=five))


BAD = {
    "edge ids": ({"edge_index": np.array([[0, 4], [1, 0]])}, "edge_index: expected node ids from 0 to 3, got 4"),
    "rows": ({"y": np.array([0, 1])}, "the same number of nodes everywhere, got x 4, y 2"),
    "nan": ({"x": np.full((4, 2), np.nan)}, "x: expected finite float32 values, got nan in row 0, column 0"),
    "csr": ({"x": None, "x_data": np.ones(1)}, "sparse x lacks x_indices, x_indptr, x_shape"),
    "no edges": ({"edge_index": None}, r"expected an array 'edge_index' of shape \(2, E\), found x, y"),
    "empty": ({"edge_index": np.zeros((2, 0), dtype=int)}, "the graph is empty"),
    "mask": ({"train_mask": np.array([1, 0, 0, 1])}, r"train_mask: expected bool of shape \(4,\), got int64"),
    "objects": ({"y": np.array([1, "a", 0, 0], dtype=object)}, "'y' holds pickled Python objects"),
    "ids": ({"node_id": np.array([[1, 2]] * 4)}, r"node_id: expected shape \(4,\)"),
    "number": ({"num_nodes": np.array([1, 2])}, "num_nodes: expected one integer"),
}


@pytest.mark.parametrize("fault", BAD)
def test_what_does_not_fit_is_refused_by_name(bundle, fault):
    changes, message = BAD[fault]
    with pytest.raises(InputError, match=message):
        read(bundle(**changes))


def test_a_truncated_file_is_one_clear_error(bundle):
    path = bundle()
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"data\.npz: .*fetch or write it again"):
        read(path)
