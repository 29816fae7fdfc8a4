"""Against the dense reference in float64; on a GPU, or in Triton's interpreter.

The latter is `TRITON_INTERPRET=1 pytest tests/graphcl/kernels`.
"""

import os

import pytest
import torch

from graphcl.kernels import Blocks, Columns, Rule, pair_lse
from graphcl.kernels.pair_logits import LOG2E
from graphcl.kernels.pair_reference import pair_logits_reference, pair_lse_reference

pytest.importorskip("triton", reason="triton is not installed")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not INTERPRETED and not torch.cuda.is_available():
    pytest.skip("kernels run on a GPU, or with TRITON_INTERPRET=1 pytest tests/graphcl/kernels", allow_module_level=True)

from graphcl.kernels.triton import launch, sizes  # noqa: E402

DEVICE = "cpu" if INTERPRETED else "cuda"
F64 = torch.float64
N, M = 17, 33
TOLERANCE = {torch.float32: (1e-5, 1e-4), torch.float16: (2e-2, 2e-2), torch.bfloat16: (2e-2, 2e-2)}


@pytest.fixture(autouse=True)
def _on_device():
    with torch.device(DEVICE):
        yield


def tensors(d, dtype, seed=0, n=N, m=M):
    torch.manual_seed(seed)
    a, z = torch.randn(n, d) / d**0.5, torch.randn(m, d) / d**0.5
    return a.to(dtype), z.to(dtype), torch.randn(m), torch.rand(n) + 1


def seen(n=N, m=M, share=0.3):
    mask = torch.rand(n, m, generator=torch.Generator(DEVICE).manual_seed(1)) < share
    return torch.cat([torch.zeros(1, dtype=torch.int64), mask.sum(1).cumsum(0)]), mask.nonzero()[:, 1]


def ids(n, most=3, *shape, seed=2):
    return torch.randint(most, (n, *shape), generator=torch.Generator(DEVICE).manual_seed(seed))


with torch.device(DEVICE):
    RULES = {
        "none": Rule(),
        "exclude": Rule(exclude=ids(N, M)),
        "same": Rule(same=(ids(N), ids(M))),
        "different": Rule(different=(ids(N), ids(M))),
        "clusters": Rule(clusters=(ids(N, 3, 3), ids(M, 3, 3))),
        "seen": Rule(seen=seen()),
        "all": Rule(
            exclude=ids(N, M), same=(ids(N, 2), ids(M, 2)), different=(ids(N, 9), ids(M, 9)),
            clusters=(ids(N, 3, 2), ids(M, 3, 2)), seen=seen(share=0.1),
        ),
    }  # fmt: skip
    OWN_RULES = {
        "none": Rule(),
        "itself": Rule(exclude=torch.arange(N)),
        "different": Rule(different=(own := ids(N), own)),
    }


def graded(function, leaves, grad):
    """Value and gradients on fresh leaves."""
    leaves = [None if leaf is None else leaf.detach().clone().requires_grad_() for leaf in leaves]
    out = function(*leaves)
    return [out.detach(), *torch.autograd.grad(out, [leaf for leaf in leaves if leaf is not None], grad.to(out.dtype))]


def compare(ours, theirs, dtype):
    """A value to its tolerance; gradients to theirs, of the largest where that is over 1."""
    value, gradient = TOLERANCE[dtype]
    for k, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        assert (one.double() - other).abs().max() <= (value if k == 0 else gradient) * max(1, other.abs().max())


def double(leaves):
    return [None if leaf is None else leaf.double() for leaf in leaves]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", RULES)
@pytest.mark.parametrize("d", [5, 40])
def test_value_and_all_gradients_are_those_of_the_reference(kind, d, dtype):
    leaves, rule, grad = tensors(d, dtype), RULES[kind], torch.randn(N, dtype=F64)
    ours = graded(lambda a, z, b, s: pair_lse(a, Columns(z, b), scale=s, rule=rule, backend="triton"), leaves, grad)
    theirs = graded(lambda a, z, b, s: pair_lse_reference(a, Columns(z, b), scale=s, rule=rule), double(leaves), grad)
    compare(ours, theirs, dtype)
    assert ours[0].dtype == torch.float32
    assert ours[1].dtype == ours[2].dtype == dtype


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("d", [130, 600])
def test_wide_rows_are_met_a_part_of_their_features_at_a_time(d, dtype):
    leaves, grad = tensors(d, dtype), torch.randn(N, dtype=F64)
    ours = graded(lambda a, z, b, s: pair_lse(a, Columns(z, b), scale=s, backend="triton"), leaves, grad)
    compare(ours, graded(lambda a, z, b, s: pair_lse_reference(a, Columns(z, b), scale=s), double(leaves), grad), dtype)


def both_ways(a, z, bias, scale, *, rule, backend):
    """Sums of rows and columns in one vector."""
    if backend == "triton":
        return torch.cat(pair_lse(a, Columns(z, bias), scale=scale, rule=rule, both=True, backend=backend))
    logits = pair_logits_reference(a, Columns(z, bias), scale=scale, rule=rule)
    return torch.cat([logits.logsumexp(1), logits.logsumexp(0)])


@pytest.mark.parametrize("biased", [False, True])  # with a bias logits are not known to be small
@pytest.mark.parametrize("kind", ["none", "clusters", "seen"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sums_of_rows_and_of_columns_come_with_the_gradients_of_both(dtype, kind, biased):
    a, z, bias, scale = tensors(12, dtype)
    leaves, grad, rule = (a, z, bias if biased else None, scale), torch.randn(N + M, dtype=F64), RULES[kind]
    ours = graded(lambda a, z, b, s: both_ways(a, z, b, s, rule=rule, backend="triton"), leaves, grad)
    theirs = graded(lambda a, z, b, s: both_ways(a, z, b, s, rule=rule, backend="dense"), double(leaves), grad)
    compare(ours, theirs, dtype)


@pytest.mark.parametrize("scale", [0.7, 90.0])  # small logits, and such as need a shift
@pytest.mark.parametrize("kind", OWN_RULES)
def test_a_set_with_itself_has_the_gradient_of_both_roles(kind, scale):
    rule = OWN_RULES[kind]
    a, factor, grad = tensors(6, torch.float32)[0], torch.tensor(scale), torch.randn(N, dtype=F64)
    ours = graded(lambda a, s: pair_lse(a, Columns(a), scale=s, rule=rule, backend="triton"), (a, factor), grad)
    theirs = graded(lambda a, s: pair_lse_reference(a, Columns(a), scale=s, rule=rule), double((a, factor)), grad)
    compare(ours, theirs, torch.float32)


def test_a_set_with_itself_gives_both_sums_at_once():
    a, grad = tensors(6, torch.float32)[0], torch.randn(N, dtype=F64)
    ours = graded(lambda a: sum(pair_lse(a, Columns(a), scale=2.0, both=True, backend="triton")), (a,), grad)
    compare(ours, graded(lambda a: 2 * pair_lse_reference(a, Columns(a), scale=2.0), (a.double(),), grad), torch.float32)


@pytest.mark.parametrize("shape", [(), (1,), (N,)])
def test_scale_is_one_number_or_one_for_each_anchor(shape):
    a, z, _, _ = tensors(6, torch.float32)
    leaves, grad = (a, z, torch.rand(shape) + 1), torch.randn(N, dtype=F64)
    ours = graded(lambda a, z, s: pair_lse(a, Columns(z), scale=s, backend="triton"), leaves, grad)
    assert ours[3].shape == shape
    compare(ours, graded(lambda a, z, s: pair_lse_reference(a, Columns(z), scale=s), double(leaves), grad), torch.float32)


@pytest.mark.parametrize("kind", ["none", "all"])
def test_results_do_not_depend_on_the_tiles(kind, monkeypatch):
    leaves, rule, grad = tensors(40, torch.float32), RULES[kind], torch.randn(N + M, dtype=F64)
    run = lambda: graded(lambda a, z, b, s: both_ways(a, z, b, s, rule=rule, backend="triton"), leaves, grad)  # noqa: E731
    want = run()
    for own, other, step, out in [(16, 16, 16, 16), (32, 16, 64, 64), (16, 32, 32, 64)]:
        small = sizes.Sizes(own, other, step, out, 4, 2)
        monkeypatch.setattr(launch.sizes, "forward_sizes", lambda *_, small=small: small)
        monkeypatch.setattr(launch.sizes, "gradient_sizes", lambda *_, small=small: small)
        monkeypatch.setattr(sizes, "LEAST_TILES", 1)  # and each tile of the streamed side has a program of its own
        for one, other_one in zip(run(), want, strict=True):
            torch.testing.assert_close(one, other_one, rtol=1e-5, atol=1e-5)


def test_twice_the_same_is_the_same_bit_for_bit():
    leaves, grad = tensors(40, torch.bfloat16), torch.randn(N + M)
    runs = [
        graded(lambda a, z, b, s: both_ways(a, z, b, s, rule=RULES["all"], backend="triton"), leaves, grad) for _ in range(2)
    ]
    assert all(torch.equal(one, other) for one, other in zip(*runs, strict=True))


@pytest.mark.parametrize("both", [False, True])
def test_rows_and_columns_in_which_nothing_counts_are_empty_without_gradient(both):
    a, z, bias, scale = tensors(6, torch.float32)
    bias[4] = -torch.inf
    classes = ids(N).index_fill(0, torch.tensor([3, 9]), 5)  # no column is of class 5, no row of class 7
    rule = Rule(same=(classes, ids(M).index_fill(0, torch.tensor([11]), 7)))
    leaves = [leaf.clone().requires_grad_() for leaf in (a, z, bias, scale)]
    out = pair_lse(leaves[0], Columns(leaves[1], leaves[2]), scale=leaves[3], rule=rule, both=both, backend="triton")
    parts = out if both else (out,)
    logits = pair_logits_reference(a.double(), Columns(z.double(), bias.double()), scale=scale.double(), rule=rule)
    for part, dim in zip(parts, (1, 0), strict=False):
        torch.testing.assert_close(part.double(), logits.logsumexp(dim), rtol=1e-5, atol=1e-5)
    assert (parts[0] == -torch.inf).nonzero().flatten().tolist() == [3, 9]
    assert not both or {4, 11} <= set((parts[1] == -torch.inf).nonzero().flatten().tolist())
    sum(part.masked_fill(part == -torch.inf, 0.0).sum() for part in parts).backward()
    assert all(leaf.grad.isfinite().all() for leaf in leaves)
    assert torch.count_nonzero(leaves[0].grad[[3, 9]]) == torch.count_nonzero(leaves[1].grad[[4, 11]]) == 0
    assert torch.count_nonzero(leaves[2].grad[[4, 11]]) == torch.count_nonzero(leaves[3].grad[[3, 9]]) == 0


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_logits_of_ten_thousand_stay_finite(size):
    a = torch.tensor([[1.0], [-1.0], [0.5]], requires_grad=True)
    z = torch.tensor([[size], [-size], [size / 2]], requires_grad=True)
    out = pair_lse(a, Columns(z), scale=1.0, backend="triton")
    torch.testing.assert_close(out, (a.double() @ z.double().T).logsumexp(1).float())
    out.sum().backward()
    torch.testing.assert_close(a.grad.flatten(), abs(size) * torch.tensor([1.0, -1, 1]))


def test_weights_far_below_the_smallest_fp16_number_still_move_the_candidates():
    a, z, _, _ = tensors(8, torch.float16)
    selection = launch.Selection(N, M, None, Rule(), None, a.device)
    pairs = launch.Pairs(a, z, torch.full((1,), LOG2E), selection)
    # Of a mean over a million anchors: each weight is 1e-6 / M, half of the smallest fp16 number.
    weights = (torch.full((N,), 1e-6), pair_lse(a, Columns(z), scale=1.0) * LOG2E)
    found = pairs.gradients(columns=True, row_weights=weights, dtype=torch.float32)[0]
    leaf = z.double().requires_grad_()
    pair_lse_reference(a.double(), Columns(leaf), scale=1.0).sum().backward()
    torch.testing.assert_close(found.double(), leaf.grad * 1e-6, rtol=1e-3, atol=1e-10)


def test_single_precision_may_be_rounded_to_bfloat16_with_gradients_that_are_not():
    a, z, _, _ = tensors(12, torch.float32)
    grad = torch.randn(N, dtype=F64)
    ours = graded(lambda a, z: pair_lse(a, Columns(z), scale=2.0, bf16=True, backend="triton"), (a, z), grad)
    rounded = (a.bfloat16().double(), z.bfloat16().double())
    compare(ours, graded(lambda a, z: pair_lse_reference(a, Columns(z), scale=2.0), rounded, grad), torch.bfloat16)
    assert ours[1].dtype == torch.float32
    assert not torch.equal(ours[1], ours[1].bfloat16().float())


def test_rows_that_are_not_contiguous_and_no_rows_at_all():
    a, z, _, _ = tensors(6, torch.float32)
    want = pair_lse(a, Columns(z), scale=1.0)
    torch.testing.assert_close(pair_lse(a.T.contiguous().T, Columns(z), scale=1.0, backend="triton"), want)
    leaf = z.clone().requires_grad_()
    empty = pair_lse(a[:0], Columns(leaf), scale=1.0, both=True, backend="triton")
    assert empty[0].shape == (0,)
    assert (empty[1] == -torch.inf).all()
    pair_lse(a[:0], Columns(leaf), scale=1.0, backend="triton").sum().backward()
    assert torch.count_nonzero(leaf.grad) == 0


def near_blocks(n=N):
    """Four blocks, one of them without rows; columns 0 and 31, 32 lie in none, and row 3 neither."""
    rows = [torch.tensor([0, 1, 2, 5, 16]), torch.arange(4, n), torch.tensor([], dtype=torch.int64), torch.tensor([2, 5, 7])]
    pointers = torch.tensor([0, *(len(part) for part in rows)]).cumsum(0)
    return Blocks(pointers, torch.cat(rows), torch.tensor([1, 9, 20, 22, 31]))


@pytest.mark.parametrize("kind", ["none", "exclude", "different", "seen"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_listed_blocks_give_what_the_dense_array_without_the_others_gives(kind, dtype):
    leaves, rule, blocks, grad = tensors(12, dtype), RULES[kind], near_blocks(), torch.randn(N, dtype=F64)
    mask = torch.full((N, M), -torch.inf, dtype=F64)
    for k in range(4):
        rows = blocks.rows[blocks.row_pointers[k] : blocks.row_pointers[k + 1]]
        mask[rows[:, None], torch.arange(blocks.column_pointers[k], blocks.column_pointers[k + 1])] = 0

    def dense(a, z, bias, scale):
        logits = pair_logits_reference(a, Columns(z, bias), scale=scale, rule=rule) + mask
        return logits.index_select(0, kept).logsumexp(1)

    kept = torch.tensor([i for i in range(N) if i != 3])

    def listed(a, z, bias, scale):
        return pair_lse(a, Columns(z, bias, blocks=blocks), scale=scale, rule=rule, backend="triton")

    assert listed(*leaves)[3] == -torch.inf
    ours = graded(lambda *leaves: listed(*leaves).index_select(0, kept), leaves, grad[kept])
    compare(ours, graded(dense, double(leaves), grad[kept]), dtype)
    assert torch.count_nonzero(ours[1][3]) == torch.count_nonzero(ours[2][[0, 31, 32]]) == 0


def test_tables_of_more_than_two_to_the_31_numbers():
    d, far = 1024, 2**21 + 7  # its first feature is number 2^31 + 7168
    a = torch.empty(far + 1, d, dtype=torch.bfloat16)  # only the touched pages of it exist
    z, rows = torch.randn(3, d).bfloat16() / 32, torch.tensor([5, far])
    a[rows] = torch.randn(2, d).bfloat16() / 32
    blocks = Blocks(torch.tensor([0, 2]), rows, torch.tensor([0, 3]))
    # Programs own the three candidates, and stream the listed rows.
    pairs = launch.Pairs(a, z, torch.full((1,), LOG2E), launch.Selection(far + 1, 3, None, Rule(), blocks, a.device))
    want = (a[rows].double() @ z.double().T).logsumexp(0)
    torch.testing.assert_close(pairs.sums(columns=True).double(), want, rtol=1e-5, atol=1e-5)
