"""Against the dense reference in float64; on a GPU, or in Triton's interpreter.

The latter is `TRITON_INTERPRET=1 pytest tests/graphcl/kernels`.
"""

import os

import pytest
import torch

from graphcl.kernels import Columns, GaussianKernel, IMQKernel, LogKernel, RieszKernel, Rule, SoftplusKernel, pair_sum
from graphcl.kernels.pair_reference import pair_sum_reference

pytest.importorskip("triton", reason="triton is not installed")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not INTERPRETED and not torch.cuda.is_available():
    pytest.skip("kernels run on a GPU, or with TRITON_INTERPRET=1 pytest tests/graphcl/kernels", allow_module_level=True)

DEVICE = "cpu" if INTERPRETED else "cuda"
N, M = 17, 33
KERNELS = [
    GaussianKernel(1.5),
    IMQKernel(0.7),
    RieszKernel(1, 0.01),
    RieszKernel(-1.5, 0.01),
    LogKernel(3.0),
    SoftplusKernel(-2),
]
TOLERANCE = {torch.float32: (1e-5, 1e-4), torch.float16: (2e-2, 2e-2), torch.bfloat16: (2e-2, 2e-2)}


@pytest.fixture(autouse=True)
def _on_device():
    with torch.device(DEVICE):
        yield


def points(d, dtype, shift=0.0):
    torch.manual_seed(0)
    return [(torch.randn(n, d) / d**0.5 + shift).to(dtype) for n in (N, M)]


def ids(n, most, *shape):
    return torch.randint(most, (n, *shape), generator=torch.Generator(DEVICE).manual_seed(2))


with torch.device(DEVICE):
    RULES = {
        "exclude": Rule(exclude=ids(N, M)),
        "same": Rule(same=(ids(N, 3), ids(M, 3))),
        "different, clusters": Rule(different=(ids(N, 3), ids(M, 3)), clusters=(ids(N, 3, 3), ids(M, 3, 3))),
        "seen": Rule(seen=(torch.arange(0, 3 * N + 1, 3), ids(3 * N, M))),
    }


def graded(function, leaves, grad):
    leaves = [leaf.detach().clone().requires_grad_() for leaf in leaves]
    out = function(*leaves)
    return [out.detach(), *torch.autograd.grad(out, leaves, grad.to(out.dtype))]


def compare(ours, theirs, dtype):
    for k, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        assert (one.double() - other).abs().max() <= TOLERANCE[dtype][k > 0] * max(1, other.abs().max())


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("d", [5, 40])
@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_value_and_gradients_are_those_of_the_reference(kernel, d, dtype):
    leaves, grad = points(d, dtype), torch.randn(N, dtype=torch.float64)
    ours = graded(lambda a, z: pair_sum(a, Columns(z), kernel=kernel, backend="triton"), leaves, grad)
    double = [leaf.double() for leaf in leaves]
    compare(ours, graded(lambda a, z: pair_sum_reference(a, Columns(z), kernel=kernel), double, grad), dtype)
    assert ours[0].dtype == torch.float32
    assert ours[1].dtype == ours[2].dtype == dtype


@pytest.mark.parametrize("kernel", KERNELS[:1] + KERNELS[-1:], ids=repr)
@pytest.mark.parametrize("kind", RULES)
def test_rules_hold(kind, kernel):
    rule = RULES[kind]
    leaves, grad = points(70, torch.float32), torch.randn(N, dtype=torch.float64)
    ours = graded(lambda a, z: pair_sum(a, Columns(z), kernel=kernel, rule=rule, backend="triton"), leaves, grad)
    double = [leaf.double() for leaf in leaves]
    compare(ours, graded(lambda a, z: pair_sum_reference(a, Columns(z), kernel=kernel, rule=rule), double, grad), torch.float32)


def test_points_far_from_the_origin_keep_their_distances():
    leaves = points(5, torch.float32, shift=100.0)
    found = pair_sum(leaves[0], Columns(leaves[1]), kernel=GaussianKernel(), backend="triton")
    want = pair_sum_reference(leaves[0].double(), Columns(leaves[1].double()), kernel=GaussianKernel())
    torch.testing.assert_close(found.double(), want, rtol=1e-5, atol=1e-5)


def test_a_set_with_itself_gets_the_gradients_of_both_roles():
    a, grad, rule = points(5, torch.float32)[0], torch.randn(N, dtype=torch.float64), Rule(exclude=torch.arange(N))
    ours = graded(lambda a: pair_sum(a, Columns(a), kernel=GaussianKernel(), rule=rule, backend="triton"), [a], grad)
    theirs = graded(lambda a: pair_sum_reference(a, Columns(a), kernel=GaussianKernel(), rule=rule), [a.double()], grad)
    compare(ours, theirs, torch.float32)
