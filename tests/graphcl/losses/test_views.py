import pytest
import torch

from graphcl.errors import InputError
from graphcl.losses.views import check_pairs, computing_views, full_precision, unit_rows

F64 = torch.float64


def test_views_are_checked_and_brought_to_single_precision():
    half = torch.ones(3, 2, dtype=torch.float16)
    assert [z.dtype for z in computing_views(half, half.bfloat16())] == [torch.float32] * 2
    assert [z.dtype for z in computing_views(half, half.double())] == [F64] * 2
    with pytest.raises(InputError, match=r"z2 must be floating point.*int64"):
        computing_views(half, torch.ones(3, 2, dtype=torch.int64))
    with pytest.raises(InputError, match="at least 2 rows"):
        computing_views(half[:1], half[:1])
    with pytest.raises(InputError, match="1 column"):
        computing_views(half[:, :0], half[:, :0])
    with pytest.raises(InputError, match=r"got \(3, 2\) and \(2, 2\)"):
        computing_views(half, half[:2])
    bad = torch.ones(3, 2)
    bad[1, 0] = torch.nan
    with pytest.raises(InputError, match="z2 has a value that is not finite in row 1"):
        computing_views(torch.ones(3, 2), bad)


def test_full_precision_turns_automatic_half_precision_off():
    z = torch.ones(2, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (z @ z).dtype == torch.bfloat16
        with full_precision(z):
            assert (z @ z).dtype == torch.float32


def test_one_tensor_stays_one():
    z = torch.randn(3, 2)
    for view in (z, z.bfloat16(), z.double()):
        first, second = computing_views(view, view)
        assert first is second


def test_unit_rows_have_length_one_and_a_row_of_zeros_no_gradient():
    z = torch.tensor([[3.0, 4.0], [0.0, 0.0], [1e-30, 0.0]], dtype=F64, requires_grad=True)
    u = unit_rows(z)
    torch.testing.assert_close(u[:2], torch.tensor([[0.6, 0.8], [0.0, 0.0]], dtype=F64))
    (grad,) = torch.autograd.grad(u.sum(), z)
    assert grad.isfinite().all()
    assert torch.count_nonzero(grad[1]) == 0


def test_views_that_do_not_pair_are_refused():
    z = torch.ones(3, 2)
    with pytest.raises(InputError, match="did an augmenter drop nodes"):
        check_pairs(z, z[:2])
    with pytest.raises(InputError, match="at least 2 rows"):
        check_pairs(z[:1], z[:1])
    with pytest.raises(InputError, match="z2 must be floating point, since embeddings are"):
        check_pairs(z, z.long())
    with pytest.raises(InputError, match="not finite in row 1"):
        check_pairs(z, z.index_fill(0, torch.tensor([1]), torch.nan))
