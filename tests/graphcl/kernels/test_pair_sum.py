import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels import (
    Columns,
    GaussianKernel,
    IMQKernel,
    LogKernel,
    RieszKernel,
    Rule,
    SoftplusKernel,
    pair_sum,
    pair_sum_reference,
    pair_tiles,
)

F64 = torch.float64
KERNELS = [GaussianKernel(0.5), IMQKernel(), RieszKernel(1.0), RieszKernel(-1.0), LogKernel(), SoftplusKernel(2.0)]


def pairs(n, m, d, dtype=F64):
    torch.manual_seed(0)
    return torch.randn(n, d, dtype=dtype).requires_grad_(), torch.randn(m, d, dtype=dtype).requires_grad_()


def full_rule(n, m):
    listed = torch.rand(n, m) < 0.3
    crow = torch.cat([torch.zeros(1, dtype=torch.int64), listed.sum(1).cumsum(0)])
    draw = lambda k: (torch.randint(3, (n, *k)), torch.randint(3, (m, *k)))  # noqa: E731
    return Rule(torch.randint(m, (n,)), different=draw(()), clusters=draw((3,)), seen=(crow, listed.nonzero()[:, 1]))


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
@pytest.mark.parametrize(("n", "m", "d"), [(1, 1, 1), (7, 5, 3), (67, 19, 4)])
@pytest.mark.parametrize("ruled", [False, True])
def test_values_and_gradients_equal_the_dense_reference(kernel, n, m, d, ruled, monkeypatch):
    monkeypatch.setattr(pair_tiles, "MIN_ROWS", 3)
    monkeypatch.setattr(pair_tiles, "TILE_BYTES", 300)
    a, z = pairs(n, m, d)
    rule, grad = full_rule(n, m) if ruled else None, torch.randn(n, dtype=F64)
    out, want = (f(a, Columns(z), kernel=kernel, rule=rule) for f in (pair_sum, pair_sum_reference))
    torch.testing.assert_close(out, want)
    for ours, theirs in zip(torch.autograd.grad(out, (a, z), grad), torch.autograd.grad(want, (a, z), grad), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_gradcheck_passes(kernel):
    rule = full_rule(5, 7)
    assert torch.autograd.gradcheck(lambda a, z: pair_sum(a, Columns(z), kernel=kernel, rule=rule), pairs(5, 7, 3))


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_points_may_be_their_own_candidates_without_themselves(kernel):
    z = pairs(6, 1, 3)[0]
    assert torch.autograd.gradcheck(lambda z: pair_sum(z, Columns(z), kernel=kernel, rule=Rule(torch.arange(6))), (z,))


def test_a_row_in_which_nothing_counts_is_zero_without_gradient():
    a, z = pairs(2, 3, 2)
    rule = Rule(same=(torch.tensor([0, 1]), torch.tensor([1, 1, 2])))
    out = pair_sum(a, Columns(z), kernel=IMQKernel(), rule=rule)
    assert out[0] == 0
    out.sum().backward()
    assert torch.count_nonzero(a.grad[0]) == 0
    assert torch.count_nonzero(z.grad[2]) == 0


def test_names_of_columns_are_heard():
    a, z = pairs(2, 3, 2)
    columns, rule = Columns(z, ids=torch.tensor([7, 8, 7])), Rule(torch.tensor([7, 9]))
    options = {"kernel": GaussianKernel(), "rule": rule}
    torch.testing.assert_close(pair_sum(a, columns, **options), pair_sum_reference(a, columns, **options))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_single_precision_of_the_rounded_inputs(dtype):
    a, z = (t.detach().to(dtype).requires_grad_() for t in pairs(13, 31, 8))
    out = pair_sum(a, Columns(z), kernel=GaussianKernel(0.1))
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, pair_sum(a.float(), Columns(z.float()), kernel=GaussianKernel(0.1)))
    out.sum().backward()
    assert a.grad.dtype == z.grad.dtype == dtype


def test_a_cloud_far_from_the_origin_keeps_its_distances_in_single_precision():
    a, z = (t.detach() for t in pairs(13, 31, 4))
    want = pair_sum_reference(a, Columns(z), kernel=GaussianKernel())
    far = pair_sum((a + 100).float(), Columns((z + 100).float()), kernel=GaussianKernel())
    torch.testing.assert_close(far.double(), want, rtol=1e-3, atol=1e-4)


def test_a_bias_is_refused():
    a, z = pairs(2, 3, 2)
    with pytest.raises(InputError, match="takes candidates without bias"):
        pair_sum(a, Columns(z, bias=torch.zeros(3, dtype=F64)), kernel=GaussianKernel())
