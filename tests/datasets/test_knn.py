import numpy as np
import pytest
import scipy.sparse as sp
import torch

from graphcl.datasets import knn_graph, load
from graphcl.datasets.matrix import check_csr, to_tensor
from graphcl.errors import InputError


def reference(x, k):
    """Every pair, the lower number first among the equally near."""
    edges = set()
    for i in range(len(x)):
        order = sorted((float(((x[i] - x[j]) ** 2).sum()), j) for j in range(len(x)) if j != i)
        edges |= {pair for _, j in order[:k] for pair in ((i, j), (j, i))}
    return sorted(edges)


@pytest.mark.parametrize("k", [1, 3, 22])
@pytest.mark.parametrize("levels", [2, 3, 1000])
def test_it_is_exact_also_among_ties_and_copies(k, levels):
    x = np.random.default_rng(levels).integers(0, levels, size=(23, 3)).astype(float)
    assert [tuple(pair) for pair in knn_graph(x, k).T.tolist()] == reference(x, k)


def test_copies_of_a_row_never_choose_themselves():
    x = np.zeros((30, 2))
    edges = knn_graph(x, 4)
    assert (edges[0] != edges[1]).all()
    assert [tuple(pair) for pair in edges.T.tolist()] == reference(x, 4)


def test_every_form_of_a_table_gives_the_same_edges():
    x = np.random.default_rng(0).integers(0, 3, size=(40, 6)).astype(np.float32)
    want = knn_graph(x, 5)
    matrix = sp.csr_matrix(x)
    tensor = to_tensor(check_csr(matrix.data, matrix.indices, matrix.indptr, matrix.shape, "x"))
    for form in (torch.from_numpy(x), matrix, sp.coo_array(x), tensor):
        assert torch.equal(knn_graph(form, 5), want)


def test_bad_arguments_are_refused():
    x = np.ones((5, 2))
    for k in (0, 5):
        with pytest.raises(InputError, match=f"expected from 1 to 4 neighbours for 5 rows, got {k}"):
            knn_graph(x, k)
    with pytest.raises(InputError, match="expected finite numbers"):
        knn_graph(x * np.nan, 2)


def test_the_published_usps_graphs_are_reproduced(real_root):
    usps = load("usps", real_root)
    for k in (3, 10):
        assert torch.equal(knn_graph(usps.x, k), load("usps", real_root, knn=k).edge_index)
