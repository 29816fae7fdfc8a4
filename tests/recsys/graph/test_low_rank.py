from __future__ import annotations

import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels.csr import CSR
from graphcl.kernels.pattern import Pattern
from graphcl.recsys.graph.low_rank import LowRank, exact_svd, truncated_svd


def random_block(users=37, items=23, seed=0, dtype=torch.float64, density=0.3):
    torch.manual_seed(seed)
    return csr_of(torch.randn(users, items, dtype=dtype) * (torch.rand(users, items) < density))


def csr_of(dense):
    there = dense != 0
    crow = torch.cat([torch.zeros(1, dtype=torch.int64), there.sum(1).cumsum(0)])
    return dense, CSR(Pattern.from_csr(crow, there.nonzero()[:, 1], dense.shape[1]), dense[there])


def normalised(users=30, items=20, seed=0):
    """A connected graph: everyone has item 0, and every item has user 0."""
    torch.manual_seed(seed)
    dense = (torch.rand(users, items) < 0.2).double()
    dense[:, 0] = dense[0] = 1
    d_users, d_items = dense.sum(1), dense.sum(0)
    block, matrix = csr_of(dense / (d_users[:, None] * d_items).sqrt())
    return block, matrix, d_users, d_items


def dense_of(found):
    return found.left * found.singular @ found.right.T


@pytest.mark.parametrize(("users", "items"), [(37, 23), (23, 37), (11, 11), (1, 7), (7, 1)])
def test_full_rank_is_the_matrix_itself(users, items):
    dense, matrix = random_block(users, items, density=0.8)
    found = truncated_svd(matrix, min(users, items))
    torch.testing.assert_close(dense_of(found), dense)
    torch.testing.assert_close(found.singular, torch.linalg.svdvals(dense))
    assert found.shape == (users, items)
    assert found.rank == min(users, items)


@pytest.mark.parametrize("rank", [1, 5, 12])
def test_the_largest_triples_are_those_of_the_dense_decomposition(rank):
    dense, matrix = random_block()
    found = truncated_svd(matrix, rank, power=40, generator=torch.Generator().manual_seed(1))
    left, singular, right = torch.linalg.svd(dense, full_matrices=False)
    torch.testing.assert_close(found.singular, singular[:rank])
    torch.testing.assert_close(dense_of(found), left[:, :rank] * singular[:rank] @ right[:rank], atol=1e-6, rtol=0)
    torch.testing.assert_close(found.left.T @ found.left, torch.eye(rank, dtype=torch.float64))
    torch.testing.assert_close(found.right.T @ found.right, torch.eye(rank, dtype=torch.float64))


@pytest.mark.parametrize(("power", "oversampling"), [(0, 0), (1, 2), (4, 10)])
def test_what_is_left_out_is_the_norm_less_the_singular_values(power, oversampling):
    # Also for a sketch that is far from the best one: the projection is exact.
    dense, matrix = random_block(seed=3)
    found = truncated_svd(matrix, 6, power=power, oversampling=oversampling)
    left_out = (dense - dense_of(found)).square().sum()
    torch.testing.assert_close(left_out, dense.square().sum() - found.singular.square().sum())
    best = torch.linalg.svdvals(dense)[6:].square().sum()
    assert left_out >= best * (1 - 1e-9)
    if power == 4:
        assert left_out < 1.001 * best


def test_rank_one_of_a_connected_graph_is_its_degrees():
    block, matrix, d_users, d_items = normalised()
    found = truncated_svd(matrix, 1, power=20)
    torch.testing.assert_close(found.singular, torch.ones(1, dtype=torch.float64))
    torch.testing.assert_close(found.left[:, 0], (d_users / d_users.sum()).sqrt(), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.right[:, 0], (d_items / d_items.sum()).sqrt(), atol=1e-6, rtol=0)
    full = (1 / (d_users[:, None] * d_items))[block > 0].sum()
    torch.testing.assert_close(block.square().sum(), full)


def test_the_largest_entry_of_each_left_vector_is_positive_and_a_seed_gives_the_same_bits():
    _, matrix = random_block(dtype=torch.float32)
    first, second = (truncated_svd(matrix, 8, generator=torch.Generator().manual_seed(7)) for _ in range(2))
    for one, other in zip((first.left, first.singular, first.right), (second.left, second.singular, second.right), strict=True):
        assert torch.equal(one, other)
        assert one.dtype == torch.float32
    peaks = first.left.gather(0, first.left.abs().argmax(0, keepdim=True))
    assert (peaks > 0).all()
    # Sketches differ, the signs agree.
    third = truncated_svd(matrix, 3, power=40, generator=torch.Generator().manual_seed(8))
    torch.testing.assert_close(third.left, truncated_svd(matrix, 3, power=40).left, atol=1e-3, rtol=0)


@pytest.mark.parametrize("decompose", [truncated_svd, exact_svd])
@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_a_matrix_of_lower_rank_gives_zeros_and_stays_orthonormal(decompose, scale):
    dense, matrix = csr_of(torch.outer(torch.arange(1.0, 8.0), torch.arange(1.0, 6.0)).double())
    dense, matrix = scale * dense, CSR(matrix.pattern, scale * matrix.values)
    found = decompose(matrix, 3)
    torch.testing.assert_close(dense_of(found), dense)
    assert (found.singular[1:] < 1e-12).all()
    torch.testing.assert_close(found.left.T @ found.left, torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(found.right.T @ found.right, torch.eye(3, dtype=torch.float64))


@pytest.mark.parametrize(("dtype", "accuracy"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
@pytest.mark.parametrize(("users", "items"), [(37, 23), (23, 37)])
@pytest.mark.parametrize("rank", [1, 12, 22, 23])
def test_lanczos_finds_the_dense_decomposition(users, items, rank, dtype, accuracy):
    dense, matrix = random_block(users, items, dtype=dtype)
    found, again = (exact_svd(matrix, rank, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    left, singular, right = torch.linalg.svd(dense, full_matrices=False)
    want = left[:, :rank] * singular[:rank] @ right[:rank]
    torch.testing.assert_close(found.singular, singular[:rank], atol=accuracy, rtol=accuracy)
    torch.testing.assert_close(dense_of(found), want, atol=accuracy * 10, rtol=0)
    torch.testing.assert_close(found.left.T @ found.left, torch.eye(rank, dtype=dtype), atol=1e-5, rtol=0)
    assert (found.left.gather(0, found.left.abs().argmax(0, keepdim=True)) > 0).all()
    assert torch.equal(found.right, again.right)


def test_lanczos_finds_a_singular_value_as_often_as_it_is_there():
    # Each component of a graph has its own 1.
    block, _, _, _ = normalised(12, 8)
    dense, matrix = csr_of(torch.block_diag(*[block] * 4))
    found = exact_svd(matrix, 6)
    torch.testing.assert_close(found.singular[:4], torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(found.singular, torch.linalg.svdvals(dense)[:6])


def test_products_and_gradients_are_those_of_the_dense_matrix():
    _, matrix = random_block(9, 7)
    found = truncated_svd(matrix, 3)
    dense = dense_of(found)
    items = torch.randn(7, 4, dtype=torch.float64, requires_grad=True)
    users = torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(found.apply(items), dense @ items)
    torch.testing.assert_close(found.apply_transposed(users), dense.T @ users)
    weight = torch.randn(9, 4, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((found.apply(items) * weight).sum(), items)
    torch.testing.assert_close(gradient, dense.T @ weight)
    assert torch.autograd.gradcheck(found.apply, items)
    assert torch.autograd.gradcheck(found.apply_transposed, users)


def test_learned_values_leave_no_gradient():
    _, matrix = random_block()
    found = truncated_svd(CSR(matrix.pattern, matrix.values.clone().requires_grad_()), 2)
    assert not found.left.requires_grad
    assert not found.singular.requires_grad


def test_bad_input_is_told():
    dense, matrix = random_block(9, 7)
    for decompose in (truncated_svd, exact_svd):
        for rank in (0, 8):
            with pytest.raises(InputError, match=f"rank must be from 1 to the smaller side of the 9 x 7 matrix; got {rank}"):
                decompose(matrix, rank)
        with pytest.raises(InputError, match="holds NaN or infinite values"):
            decompose(CSR(matrix.pattern, matrix.values / 0), 2)
    with pytest.raises(InputError, match="oversampling and power must be >= 0; got -1"):
        truncated_svd(matrix, 2, oversampling=-1)
    with pytest.raises(InputError, match=r"must be float32 or float64; got torch\.int64"):
        truncated_svd(CSR(matrix.pattern, matrix.values.long()), 2)
    found = truncated_svd(matrix, 2)
    with pytest.raises(InputError, match=r"items must be \(7, D\).* got \(9, 3\)"):
        found.apply(torch.zeros(9, 3, dtype=torch.float64))
    with pytest.raises(InputError, match=r"users must be \(9, D\).* got \(9,\)"):
        found.apply_transposed(dense[:, 0])
    with pytest.raises(InputError, match=r"items must be torch\.float64 like the factors; got torch\.float32"):
        found.apply(torch.zeros(7, 3))
    with pytest.raises(InputError, match="of one q"):
        LowRank(found.left, found.singular[:1], found.right)
