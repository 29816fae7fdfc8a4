import gc
import math

import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels import features
from graphcl.kernels.adjacency import Adjacency
from graphcl.kernels.features import feature_product, propagate_features, row_norms_of_propagated

F64 = torch.float64


def sparse_features(n, f, dtype=F64, seed=0, share=0.15):
    torch.manual_seed(seed)
    return torch.randn(n, f, dtype=dtype) * (torch.rand(n, f) < share)


def graph(n, dtype=F64):
    torch.manual_seed(n)
    edge_index = torch.randint(n, (2, 4 * n))
    return Adjacency.from_edge_index(edge_index, n, edge_weight=torch.rand(4 * n, dtype=dtype))


@pytest.mark.parametrize(("n", "f", "d"), [(1, 1, 1), (7, 5, 3), (31, 257, 8), (5, 0, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_sparse_and_dense_features_give_the_same_product_and_gradient(n, f, d, dtype):
    dense = sparse_features(n, f, dtype)
    weight = torch.randn(f, d, dtype=dtype)
    grad = torch.randn(n, d, dtype=dtype)
    results = []
    for x in (dense, dense.to_sparse_csr()):
        leaf = weight.clone().requires_grad_()
        out = feature_product(x, leaf)
        out.backward(grad)
        results.append((out.detach(), leaf.grad))
    torch.testing.assert_close(results[1], results[0])
    torch.testing.assert_close(results[0][0], dense @ weight)


def test_the_gradient_of_the_weight_is_right_to_second_order():
    x = sparse_features(5, 4).to_sparse_csr()
    weight = torch.randn(4, 2, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w: feature_product(x, w), (weight,))
    assert torch.autograd.gradgradcheck(lambda w: feature_product(x, w.sin()), (weight,))


def test_masking_a_column_is_masking_a_row_of_the_weight():
    dense = sparse_features(7, 5)
    keep = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0], dtype=F64)
    weight = torch.randn(5, 3, dtype=F64)
    got = feature_product(dense.to_sparse_csr(), weight * keep[:, None])
    torch.testing.assert_close(got, (dense * keep) @ weight)


def test_the_transpose_is_found_once_and_goes_with_the_features():
    gc.collect()
    before = len(features._cache)
    x = sparse_features(7, 5).to_sparse_csr()
    weight = torch.randn(5, 3, dtype=F64, requires_grad=True)
    feature_product(x, weight).sum().backward()
    matrix = features._as_csr(x)
    transpose = matrix.pattern.transpose
    feature_product(x, weight).sum().backward()
    assert features._as_csr(x) is matrix
    assert matrix.pattern.transpose is transpose
    assert len(features._cache) == before + 1
    del x
    gc.collect()
    assert len(features._cache) == before


@pytest.mark.parametrize("share", [0.15, 0.6])
def test_features_written_to_in_place_are_read_again(share):
    dense = sparse_features(7, 5, share=share)
    x = dense.to_sparse_csr()
    weight = torch.randn(5, 3, dtype=F64, requires_grad=True)
    feature_product(x, weight).sum().backward()
    x.values().mul_(2.0)
    weight.grad = None
    out = feature_product(x, weight)
    out.sum().backward()
    torch.testing.assert_close(out, 2 * dense @ weight)
    torch.testing.assert_close(weight.grad, 2 * dense.t() @ torch.ones(7, 3, dtype=F64))


def test_well_filled_features_are_made_dense_once_and_go_with_what_they_were_made_of():
    gc.collect()
    before = len(features._dense)
    thin, full = (sparse_features(40, 30, share=share) for share in (0.05, 0.6))
    weight = torch.randn(30, 3, dtype=F64, requires_grad=True)
    sparse_thin, sparse_full = thin.to_sparse_csr(), full.to_sparse_csr()
    for dense, x in ((thin, sparse_thin), (full, sparse_full), (full, sparse_full)):
        weight.grad = None
        out = feature_product(x, weight)
        out.square().sum().backward()
        torch.testing.assert_close(out, dense @ weight)
        torch.testing.assert_close(weight.grad, 2 * dense.t() @ (dense @ weight.detach()))
    assert len(features._dense) == before + 1
    del x, sparse_full
    gc.collect()
    assert len(features._dense) == before


@pytest.mark.parametrize("ord", [1, 2, math.inf])
@pytest.mark.parametrize(
    ("n", "f", "hops", "block"), [(1, 1, 1, 1), (7, 5, 0, 2), (31, 50, 2, 7), (31, 50, 3, 256), (7, 0, 1, 4)]
)
def test_norms_equal_those_of_the_dense_product(n, f, hops, block, ord):
    adj, dense = graph(n), sparse_features(n, f)
    product = torch.linalg.matrix_power(adj.to_dense(), hops) @ dense
    want = torch.linalg.vector_norm(product, ord=ord, dim=1) if f else torch.zeros(n, dtype=F64)
    for x in (dense, dense.to_sparse_csr()):
        torch.testing.assert_close(row_norms_of_propagated(adj, x, hops, ord=ord, block=block), want)


def test_norms_of_single_precision_features_are_in_single_precision():
    adj, dense = graph(31, torch.float32), sparse_features(31, 50, torch.float32)
    got = row_norms_of_propagated(adj, dense.to_sparse_csr(), 2, block=16)
    torch.testing.assert_close(got, (adj.to_dense() @ (adj.to_dense() @ dense)).norm(dim=1))


def test_an_entry_stored_twice_counts_twice():
    x = torch.sparse_csr_tensor([0, 2], [1, 1], [1.0, 2.0], (1, 3), check_invariants=False)
    adj = Adjacency.from_edge_index(torch.zeros(2, 0, dtype=torch.int64), 1)
    assert row_norms_of_propagated(adj, x, 1).tolist() == [3.0]
    assert feature_product(x, torch.ones(3, 1)).tolist() == [[3.0]]


def test_propagated_features_are_dense_data():
    adj, dense = graph(7), sparse_features(7, 5)
    want = adj.to_dense() @ (adj.to_dense() @ dense)
    for x in (dense.requires_grad_(), dense.detach().to_sparse_csr()):
        out = propagate_features(adj, x, 2)
        assert out.layout == torch.strided
        assert not out.requires_grad
        torch.testing.assert_close(out, want.detach())


def test_bad_operands_of_the_product_are_refused():
    x = sparse_features(7, 5, torch.float32)
    with pytest.raises(InputError, match=r"got \(7, 5\) and \(3, 5\).*\.t\(\)"):
        feature_product(x, torch.zeros(3, 5))
    with pytest.raises(InputError, match=r"weight must be torch\.float32 like x"):
        feature_product(x.to_sparse_csr(), torch.zeros(5, 3, dtype=F64))
    with pytest.raises(InputError, match=r"got torch\.sparse_coo.*to_sparse_csr"):
        feature_product(x.to_sparse_coo(), torch.zeros(5, 3))
    with pytest.raises(InputError, match="get no gradient"):
        feature_product(x.to_sparse_csr().requires_grad_(), torch.zeros(5, 3))


def test_bad_options_of_the_norms_are_refused():
    adj, x = graph(7), sparse_features(7, 5)
    for options, message in (
        ({"ord": 3}, "ord must be 1, 2 or math.inf; got 3"),
        ({"block": 0}, "block must be 1 or more columns; got 0"),
        ({"hops": -1}, "hops must be 0 or more; got -1"),
        ({"x": x[:6]}, r"N = 7 nodes; got \(6, 5\)"),
        ({"x": x[:, 0]}, r"x must be \(N, F\); got \(7,\)"),
        ({"x": x.float()}, r"got torch\.float32"),
    ):
        with pytest.raises(InputError, match=message):
            row_norms_of_propagated(**{"adj": adj, "x": x, "hops": 1, **options})
