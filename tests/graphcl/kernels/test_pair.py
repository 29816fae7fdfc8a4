import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from graphcl.errors import InputError
from graphcl.kernels import Blocks, Columns, GaussianKernel, Rule, pair_lse, pair_lse_reference, pair_sum, pair_tiles
from graphcl.kernels.pair_power import pair_power_lse
from graphcl.kernels.pair_reference import pair_logits_reference
from graphcl.kernels.pair_tiles import PairTiles

F64 = torch.float64
SIZES = [(1, 1, 1), (1, 7, 3), (7, 1, 2), (5, 5, 4), (13, 31, 6), (67, 11, 16)]


def random_pairs(n, m, d, seed=0, dtype=F64):
    torch.manual_seed(seed)
    return torch.randn(n, d, dtype=dtype), torch.randn(m, d, dtype=dtype), torch.randn(m, dtype=dtype)


def both_ways(function, tensors, grad, **options):
    """Value and gradients of the inputs, on fresh leaves."""
    a, z, bias, scale = (t.detach().clone().requires_grad_() for t in tensors)
    out = function(a, Columns(z, bias, options.get("ids")), scale=scale, rule=options.get("rule"))
    return out.detach(), torch.autograd.grad(out, (a, z, bias, scale), grad)


@pytest.mark.parametrize(("n", "m", "d"), SIZES)
@pytest.mark.parametrize("excluding", [False, True])
def test_value_and_all_gradients_equal_the_dense_reference(n, m, d, excluding):
    a, z, bias = random_pairs(n, m, d)
    scale, grad = torch.tensor(1.7, dtype=F64), torch.randn(n, dtype=F64)
    # Three columns share each id, and column 0 is left out by no row, so that every row keeps something.
    ids = torch.arange(m).div(3, rounding_mode="floor").add(1).index_fill(0, torch.tensor([0]), 0)
    rule = Rule(exclude=torch.randint(1, m + 2, (n,))) if excluding else None
    value, gradients = both_ways(pair_lse, (a, z, bias, scale), grad, ids=ids, rule=rule)
    want, want_gradients = both_ways(pair_lse_reference, (a, z, bias, scale), grad, ids=ids, rule=rule)
    torch.testing.assert_close(value, want)
    for ours, theirs in zip(gradients, want_gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_reference_itself_is_the_sum_that_the_formula_writes():
    a, z, bias = random_pairs(3, 4, 2)
    exclude = torch.tensor([2, 0, 7])
    want = [
        sum(torch.exp(1.5 * a[i] @ z[j] + bias[j]) for j in range(4) if j != exclude[i]).log()
        for i in range(3)
    ]  # fmt: skip
    out = pair_lse_reference(a, Columns(z, bias), scale=1.5, rule=Rule(exclude))
    torch.testing.assert_close(out, torch.stack(want))


@pytest.mark.parametrize("rows", [1, 2, 256])
def test_gradcheck_passes_for_anchors_candidates_bias_and_scale(rows, monkeypatch):
    monkeypatch.setattr(pair_tiles, "TILE_BYTES", 1)
    monkeypatch.setattr(pair_tiles, "MIN_ROWS", rows)
    a, z, bias = random_pairs(5, 7, 3)
    ids, rule = torch.tensor([0, 1, 1, 2, 3, 4, 4]), Rule(exclude=torch.tensor([0, 1, 2, 4, 9]))
    tensors = tuple(t.requires_grad_() for t in (a, z, bias, torch.tensor(0.8, dtype=F64)))
    assert torch.autograd.gradcheck(
        lambda a, z, bias, scale: pair_lse(a, Columns(z, bias, ids), scale=scale, rule=rule), tensors
    )


def test_anchors_may_be_the_candidates():
    z = random_pairs(5, 1, 3)[0].requires_grad_()
    rule = Rule(exclude=torch.arange(5))
    assert torch.autograd.gradcheck(lambda z: pair_lse(z, Columns(z), scale=2.0, rule=rule), (z,))


@pytest.mark.parametrize("shape", [(), (1,)])
def test_scale_may_be_a_parameter_of_one_number(shape):
    a, z, _ = random_pairs(5, 7, 3)
    scale = torch.full(shape, 2.0, dtype=F64, requires_grad=True)
    out = pair_lse(a, Columns(z), scale=scale)
    torch.testing.assert_close(out, pair_lse(a, Columns(z), scale=2.0))
    (grad,) = torch.autograd.grad(out.sum(), scale)
    step = 1e-6
    slope = (pair_lse(a, Columns(z), scale=2 + step) - pair_lse(a, Columns(z), scale=2 - step)).sum() / (2 * step)
    torch.testing.assert_close(grad, slope.expand(shape), rtol=1e-6, atol=1e-6)


def test_a_column_whose_bias_is_minus_infinity_is_out():
    a, z, bias = random_pairs(5, 7, 3)
    bias[2] = bias[6] = -torch.inf
    kept = torch.tensor([0, 1, 3, 4, 5])
    value, (da, dz, dbias, _) = both_ways(pair_lse, (a, z, bias, torch.tensor(1.3, dtype=F64)), torch.ones(5, dtype=F64))
    torch.testing.assert_close(value, pair_lse(a, Columns(z[kept], bias[kept]), scale=1.3))
    assert torch.count_nonzero(dz[[2, 6]]) == 0
    assert torch.count_nonzero(dbias[[2, 6]]) == 0
    assert da.isfinite().all()
    assert dz[kept].abs().min() > 0


def test_a_bias_is_a_log_weight():
    a, z, _ = random_pairs(5, 3, 4)
    repeated = z.repeat_interleave(torch.tensor([1, 2, 5]), 0)
    weighted = Columns(z, bias=torch.tensor([1.0, 2, 5], dtype=F64).log())
    torch.testing.assert_close(pair_lse(a, weighted, scale=0.9), pair_lse(a, Columns(repeated), scale=0.9))


def test_a_row_in_which_nothing_counts_is_minus_infinity_without_gradient():
    a, z, bias = random_pairs(3, 4, 2)
    ids, rule = torch.zeros(4, dtype=torch.int64), Rule(exclude=torch.tensor([1, 0, 1]))
    scale = torch.tensor(1.3, dtype=F64)
    value, gradients = both_ways(pair_lse, (a, z, bias, scale), torch.ones(3, dtype=F64), ids=ids, rule=rule)
    assert value[1] == -torch.inf
    assert value[[0, 2]].isfinite().all()
    assert torch.count_nonzero(gradients[0][1]) == 0
    # The others are what they are without that row.
    alone = both_ways(
        pair_lse, (a[[0, 2]], z, bias, scale), torch.ones(2, dtype=F64), ids=ids, rule=Rule(torch.tensor([1, 1]))
    )[1]
    torch.testing.assert_close(gradients[0][[0, 2]], alone[0])
    for ours, theirs in zip(gradients[1:], alone[1:], strict=True):
        torch.testing.assert_close(ours, theirs)


def test_nothing_counts_anywhere_and_still_no_gradient_is_nan():
    a, z, _ = random_pairs(3, 4, 2)
    bias = torch.full((4,), -torch.inf, dtype=F64)
    value, gradients = both_ways(pair_lse, (a, z, bias, torch.tensor(1.0, dtype=F64)), torch.ones(3, dtype=F64))
    assert (value == -torch.inf).all()
    assert all(torch.count_nonzero(gradient) == 0 for gradient in gradients)


@pytest.mark.parametrize("scale", [0.01, 1.0, 45.0, 60.0, 120.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_small_and_large_logits_meet_the_same_formula(scale, dtype):
    a, z, _ = random_pairs(13, 31, 6)
    a, z = a / a.norm(dim=1, keepdim=True), z / z.norm(dim=1, keepdim=True)
    a[0], z[0], a[1], z[1] = 0, 0, z[2], -z[2]
    grad, rule = torch.randn(13, dtype=F64), Rule(exclude=torch.arange(13))
    results = []
    for function, kind in ((pair_lse, dtype), (pair_lse_reference, F64)):
        leaves = [t.to(kind).requires_grad_() for t in (a, z)]
        out = function(leaves[0], Columns(leaves[1]), scale=scale, rule=rule)
        results.append((out, *torch.autograd.grad(out, leaves, grad.to(kind))))
    tolerance = 1e-10 if dtype == F64 else 1e-5 * max(1, scale / 100)  # a logit of 1e4 has an ulp of 1e-3
    for ours, theirs in zip(*results, strict=True):
        assert (ours.double() - theirs).abs().max() <= tolerance * max(1, theirs.abs().max())


def test_rows_without_a_pair_are_empty_without_a_bias_too():
    a, z, _ = random_pairs(3, 1, 2)
    for ids in (None, torch.zeros(1, dtype=torch.int64)):
        leaves = [t.clone().requires_grad_() for t in (a, z)]
        out = pair_lse(leaves[0], Columns(leaves[1], ids=ids), scale=1.0, rule=Rule(torch.tensor([0, 7, 0])))
        assert (out == -torch.inf).tolist() == [True, False, True]
        out[1].backward()
        assert torch.count_nonzero(leaves[0].grad[[0, 2]]) == 0
        torch.testing.assert_close(leaves[1].grad, a[1:2])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [2.0, 10.0, 20.0, 50.0])
def test_half_precision_stays_finite_and_near(dtype, scale):
    a, z, _ = random_pairs(31, 67, 8)
    a, z = (t / t.norm(dim=1, keepdim=True) for t in (a, z))
    half = [t.to(dtype).requires_grad_() for t in (a, z)]
    out = pair_lse(half[0], Columns(half[1]), scale=scale)
    torch.testing.assert_close(out.double(), pair_lse(a, Columns(z), scale=scale), rtol=2e-2, atol=2e-2)
    out.sum().backward()
    assert all(t.grad.isfinite().all() for t in half)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_logits_of_ten_thousand_stay_finite(size, dtype):
    a = torch.tensor([[1.0], [-1.0], [0.5]], dtype=dtype, requires_grad=True)
    z = torch.tensor([[size], [-size], [size / 2]], dtype=dtype, requires_grad=True)
    out = pair_lse(a, Columns(z), scale=1.0)
    torch.testing.assert_close(out, (a.double() @ z.double().T).logsumexp(1).to(dtype))
    out.sum().backward()
    assert a.grad.isfinite().all()
    assert z.grad.isfinite().all()
    # A winner takes all: each anchor moves with its best candidate alone.
    torch.testing.assert_close(a.grad.flatten(), abs(size) * torch.tensor([1.0, -1, 1], dtype=dtype))


@pytest.mark.parametrize("rows", [1, 7, 31])
def test_results_do_not_depend_on_the_rows_of_a_tile(rows, monkeypatch):
    a, z, bias = random_pairs(31, 19, 5)
    scale, grad, rule = torch.tensor(2.3, dtype=F64), torch.randn(31, dtype=F64), Rule(exclude=torch.randint(19, (31,)))
    want, want_gradients = both_ways(pair_lse, (a, z, bias, scale), grad, rule=rule)
    monkeypatch.setattr(pair_tiles, "MIN_ROWS", 1)
    monkeypatch.setattr(pair_tiles, "TILE_BYTES", rows * 19 * 8)
    heights = []
    plain = PairTiles.product
    monkeypatch.setattr(
        PairTiles, "product", lambda self, at, columns: heights.append(at.stop - at.start) or plain(self, at, columns)
    )
    value, gradients = both_ways(pair_lse, (a, z, bias, scale), grad, rule=rule)
    full, rest = divmod(31, rows)
    assert heights == 2 * ([rows] * full + [rest] * (rest > 0))
    torch.testing.assert_close(value, want)
    for ours, theirs in zip(gradients, want_gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


class LargestResult(TorchDispatchMode):
    """Notes the largest storage that any operation hands out."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        sizes = [leaf.untyped_storage().nbytes() for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
        self.bytes = max([self.bytes, *sizes])
        return out


def test_no_array_of_all_pairs_is_ever_made(monkeypatch):
    n, d = 6000, 4
    monkeypatch.setattr(pair_tiles, "TILE_BYTES", 2**21)
    a, z, bias = random_pairs(n, n, d, dtype=torch.float32)
    for tensor in (a, z, bias):
        tensor.requires_grad_()
    with LargestResult() as largest:
        pair_lse(a, Columns(z, bias), scale=1.0, rule=Rule(exclude=torch.arange(n))).sum().backward()
    assert 0.9 * 2**21 < largest.bytes <= 2**21
    assert largest.bytes < 0.05 * n * n * 4
    # The reference does make it: the spy can see.
    with LargestResult() as largest:
        pair_lse_reference(a[:500], Columns(z[:600]), scale=1.0)
    assert largest.bytes >= 500 * 600 * 4


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 12), m=st.integers(2, 12), d=st.integers(1, 5), seed=st.integers(0, 2**16))
def test_permuting_anchors_permutes_and_permuting_candidates_changes_nothing(n, m, d, seed):
    a, z, bias = random_pairs(n, m, d, seed)
    ids, exclude = torch.arange(m) + 10, torch.randint(10, 10 + m, (n,))
    out = pair_lse(a, Columns(z, bias, ids), scale=1.4, rule=Rule(exclude))
    rows, columns = torch.randperm(n), torch.randperm(m)
    moved = Columns(z[columns], bias[columns], ids[columns])
    torch.testing.assert_close(pair_lse(a[rows], moved, scale=1.4, rule=Rule(exclude[rows])), out[rows])


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 9), m=st.integers(1, 9), shift=st.floats(-50, 50), seed=st.integers(0, 2**16))
def test_a_constant_bias_shifts_the_result_by_itself(n, m, shift, seed):
    a, z, bias = random_pairs(n, m, 3, seed)
    torch.testing.assert_close(
        pair_lse(a, Columns(z, bias + shift), scale=1.0), pair_lse(a, Columns(z, bias), scale=1.0) + shift
    )


def test_exclusion_by_position_is_exclusion_by_the_ids_zero_to_m():
    a, z, _ = random_pairs(5, 7, 3)
    rule = Rule(exclude=torch.tensor([6, 0, 3, 3, 1]))
    assert torch.equal(
        pair_lse(a, Columns(z), scale=1.0, rule=rule), pair_lse(a, Columns(z, ids=torch.arange(7)), scale=1.0, rule=rule)
    )


def test_a_rule_without_an_exclusion_and_an_id_that_no_column_has_leave_nothing_out():
    a, z, _ = random_pairs(5, 7, 3)
    want = pair_lse(a, Columns(z), scale=1.0)
    assert torch.equal(pair_lse(a, Columns(z), scale=1.0, rule=Rule()), want)
    assert torch.equal(pair_lse(a, Columns(z), scale=1.0, rule=Rule(exclude=torch.full((5,), 7))), want)


def test_no_anchors_give_an_empty_result_and_zero_gradients():
    a, z = torch.zeros(0, 3, requires_grad=True), torch.ones(4, 3, requires_grad=True)
    out = pair_lse(a, Columns(z), scale=1.0)
    assert out.shape == (0,)
    out.sum().backward()
    assert torch.equal(z.grad, torch.zeros(4, 3))


def test_columns_of_a_wider_array_are_taken():
    torch.manual_seed(0)
    a, z = torch.randn(6, 8, dtype=F64)[:, ::2].requires_grad_(), torch.randn(4, 5, dtype=F64).T
    assert not a.is_contiguous()
    torch.testing.assert_close(pair_lse(a, Columns(z), scale=1.0), (a @ z.T).logsumexp(1))
    assert torch.autograd.gradcheck(lambda a, z: pair_lse(a, Columns(z), scale=1.0), (a, z.requires_grad_()))


def test_inputs_are_left_as_they_were():
    a, z, bias = random_pairs(5, 7, 3)
    before = [t.clone() for t in (a, z, bias)]
    pair_lse(a.requires_grad_(), Columns(z.requires_grad_(), bias), scale=2.0).sum().backward()
    for now, then in zip((a, z, bias), before, strict=True):
        assert torch.equal(now, then)


def test_single_precision_is_within_a_hundred_thousandth():
    a, z, bias = random_pairs(67, 31, 8)
    scale, grad = torch.tensor(5.0, dtype=F64), torch.randn(67, dtype=F64)
    want, want_gradients = both_ways(pair_lse, (a, z, bias, scale), grad)
    value, gradients = both_ways(pair_lse, tuple(t.float() for t in (a, z, bias, scale)), grad.float())
    torch.testing.assert_close(value.double(), want, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(gradients, want_gradients, strict=True):
        assert (ours.double() - theirs).abs().max() < 1e-4 * theirs.abs().max()


@pytest.mark.parametrize(
    ("a", "z"),
    [((5, 3), (7, 4)), ((5,), (7, 5)), ((5, 3), (3,)), ((2, 5, 3), (7, 3))],
)
def test_shapes_that_do_not_share_their_width_are_named(a, z):
    with pytest.raises(InputError, match=r"anchors \(N, D\) and candidates \(M, D\) must share D; got") as error:
        pair_lse(torch.ones(a), Columns(torch.ones(z)), scale=1.0)
    assert f"{a} and {z}" in str(error.value)


def test_an_empty_candidate_set_is_refused():
    with pytest.raises(InputError, match="no candidate to contrast with: the candidate set has 0 rows"):
        pair_lse(torch.ones(2, 3), Columns(torch.ones(0, 3)), scale=1.0)


@pytest.mark.parametrize(("a", "z"), [(torch.float32, F64), (torch.int64, torch.int64), (torch.bfloat16, torch.float32)])
def test_types_that_differ_or_are_not_floating_are_named(a, z):
    with pytest.raises(InputError, match=f"must share one floating type and device; got {a} on cpu and {z} on cpu"):
        pair_lse(torch.ones(2, 3, dtype=a), Columns(torch.ones(4, 3, dtype=z)), scale=1.0)


@pytest.mark.parametrize(
    ("columns", "rule", "message"),
    [
        (Columns(torch.ones(4, 3), bias=torch.ones(2)), None, r"bias must be a vector of length 4; got \(2,\)"),
        (Columns(torch.ones(4, 3), bias=torch.ones(4, 1)), None, r"bias must be a vector of length 4; got \(4, 1\)"),
        (Columns(torch.ones(4, 3), ids=torch.arange(2)), None, r"ids must be a vector of length 4; got \(2,\)"),
        (Columns(torch.ones(4, 3)), Rule(torch.arange(4)), r"exclude must be a vector of length 2; got \(4,\)"),
    ],
)
def test_vectors_of_another_length_are_named(columns, rule, message):
    with pytest.raises(InputError, match=message):
        pair_lse(torch.ones(2, 3), columns, scale=1.0, rule=rule)


@pytest.mark.parametrize("shape", [(3,), (2, 1), (4,)])
def test_a_scale_of_several_numbers_is_refused(shape):
    with pytest.raises(InputError, match=r"scale must be one number or one for each anchor, \(2,\); got a tensor of shape"):
        pair_lse(torch.ones(2, 3), Columns(torch.ones(4, 3)), scale=torch.ones(shape))


@pytest.mark.parametrize("biased", [False, True])  # without and with a shift
def test_each_anchor_may_have_a_scale_of_its_own(biased):
    a, z, bias = random_pairs(5, 7, 3)
    columns, rule = Columns(z, bias if biased else None), Rule(exclude=torch.arange(5))
    scale = torch.tensor([0.3, 1.0, 0.0, 2.5, -1.0], dtype=F64)
    out = pair_lse(a, columns, scale=scale, rule=rule)
    for row in range(5):
        one = pair_lse(a[row : row + 1], columns, scale=float(scale[row]), rule=Rule(exclude=torch.tensor([row])))
        torch.testing.assert_close(out[row], one[0])
    leaves = tuple(t.requires_grad_() for t in (a, z, scale))
    assert torch.autograd.gradcheck(
        lambda a, z, scale: pair_lse(a, Columns(z, columns.bias), scale=scale, rule=rule, both=True), leaves
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_half_precision_is_single_precision_of_the_rounded_inputs(dtype, scale):
    a, z, bias = (t.to(dtype) for t in random_pairs(13, 31, 8))
    halves, singles = ([t.to(kind).requires_grad_() for t in (a, z, bias)] for kind in (dtype, torch.float32))
    out, want = (pair_lse(t[0], Columns(t[1], t[2]), scale=scale, rule=Rule(torch.arange(13))) for t in (halves, singles))
    assert out.dtype == torch.float32
    assert torch.equal(out, want)
    ours, theirs = torch.autograd.grad(out.sum(), halves), torch.autograd.grad(want.sum(), singles)
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == dtype
        assert torch.equal(one, other.to(dtype))


@pytest.mark.parametrize(("n", "m", "d"), SIZES)
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("budget", [1, 200, 2**25])
def test_both_sides_of_one_sweep_equal_the_dense_reference(n, m, d, biased, budget, monkeypatch):
    monkeypatch.setattr(pair_tiles, "TILE_BYTES", budget)
    monkeypatch.setattr(pair_tiles, "MIN_ROWS", 3)
    a, z, bias = random_pairs(n, m, d)
    exclude, grads = torch.randint(1, m + 1, (n,)), [torch.randn(n, dtype=F64), torch.randn(m, dtype=F64)]
    leaves = [t.requires_grad_() for t in (a, z, bias, torch.rand(n, dtype=F64))]
    columns, rule = Columns(z, bias if biased else None), Rule(exclude=exclude) if n > 1 else None  # no side is empty
    used = leaves if biased else [a, z, leaves[3]]
    results = []
    logits = pair_logits_reference(a, columns, scale=leaves[3], rule=rule)
    for outs in (pair_lse(a, columns, scale=leaves[3], rule=rule, both=True), (logits.logsumexp(1), logits.logsumexp(0))):
        results.append((*outs, *torch.autograd.grad(outs, used, grads)))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_both_sides_equal_two_separate_calls():
    a, z, _ = (t.float() for t in random_pairs(67, 31, 8))
    a, z = (torch.nn.functional.normalize(t, dim=1) for t in (a, z))
    for scale in (2.0, 200.0):
        rows, columns = pair_lse(a, Columns(z), scale=scale, both=True)
        torch.testing.assert_close(rows, pair_lse(a, Columns(z), scale=scale))
        torch.testing.assert_close(columns, pair_lse(z, Columns(a), scale=scale))


def test_one_side_of_both_may_go_unused():
    a, z, _ = random_pairs(5, 7, 3)
    a.requires_grad_()
    rows, columns = pair_lse(a, Columns(z), scale=2.0, both=True)
    (ours,) = torch.autograd.grad(rows.sum(), a, retain_graph=True)
    torch.testing.assert_close(ours, torch.autograd.grad(pair_lse(a, Columns(z), scale=2.0).sum(), a)[0])
    (ours,) = torch.autograd.grad(columns.sum(), a)
    torch.testing.assert_close(ours, torch.autograd.grad(pair_lse(z, Columns(a), scale=2.0).sum(), a)[0])


@pytest.mark.parametrize("biased", [False, True])
def test_a_column_in_which_nothing_counts_is_minus_infinity_without_gradient(biased):
    a, z, bias = random_pairs(3, 4, 2)
    rule = Rule(same=(torch.tensor([1, 1, 1]), torch.tensor([1, 1, 0, 1])))
    z.requires_grad_()
    _, columns = pair_lse(a, Columns(z, bias if biased else None), scale=1.0, rule=rule, both=True)
    assert (columns == -torch.inf).tolist() == [False, False, True, False]
    columns.sum().backward()
    assert z.grad.isfinite().all()
    assert torch.count_nonzero(z.grad[2]) == 0


def random_rule(kind, n, m, seed=0):
    """Ids of three kinds, so that some pairs agree; column 0 is let in for every row, so that every row keeps something."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randint(1, 4, shape, generator=generator)  # noqa: E731
    if kind == "exclude":
        return Rule(exclude=torch.randint(m + 1, (n,), generator=generator))
    if kind == "seen":
        listed = torch.rand(n, m, generator=generator) < 0.4
        crow = torch.cat([torch.zeros(1, dtype=torch.int64), listed.sum(1).cumsum(0)])
        return Rule(seen=(crow, listed.nonzero()[:, 1]))
    if kind == "clusters":
        return Rule(clusters=(draw(n, 3), draw(m, 3)))
    if kind == "all":
        parts = {name: getattr(random_rule(name, n, m, seed), name) for name in ("exclude", "different", "clusters", "seen")}
        return Rule(**parts)
    return Rule(**{kind: (draw(n), draw(m))})


KINDS = ["exclude", "same", "different", "clusters", "seen", "all"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize(("rows", "budget"), [(1, 1), (3, 1), (3, 300), (16, 2**12), (67, 2**25)])
def test_each_rule_in_the_tile_equals_the_dense_mask(kind, biased, rows, budget, monkeypatch):
    monkeypatch.setattr(pair_tiles, "MIN_ROWS", rows)
    monkeypatch.setattr(pair_tiles, "TILE_BYTES", budget)
    a, z, bias = random_pairs(67 if rows > 1 else 7, 19, 4)
    rule = random_rule(kind, len(a), len(z))
    leaves = [t.requires_grad_() for t in (a, z)]
    columns = Columns(z, bias if biased else None)
    ours = pair_lse(a, columns, scale=1.3, rule=rule, both=True)
    logits = pair_logits_reference(a, columns, scale=1.3, rule=rule)
    kept = [(logits > -torch.inf).any(dim) for dim in (1, 0)]
    theirs = [logits[kept[0]].logsumexp(1), logits[:, kept[1]].logsumexp(0)]
    for out, want, keep in zip(ours, theirs, kept, strict=True):
        torch.testing.assert_close(out[keep], want)
        assert (out[~keep] == -torch.inf).all()
    grads = [torch.randn_like(want) for want in theirs]
    got = torch.autograd.grad([out[keep] for out, keep in zip(ours, kept, strict=True)], leaves, grads)
    for one, other in zip(got, torch.autograd.grad(theirs, leaves, grads), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_gradcheck_passes_under_each_rule(kind, monkeypatch):
    monkeypatch.setattr(pair_tiles, "MIN_ROWS", 2)
    monkeypatch.setattr(pair_tiles, "TILE_BYTES", 100)
    a, z, bias = random_pairs(5, 11, 3)
    rule = random_rule(kind, 5, 11)
    kept = pair_lse(a, Columns(z), scale=1.0, rule=rule).isfinite()
    leaves = tuple(t.requires_grad_() for t in (a, z, bias))
    assert torch.autograd.gradcheck(lambda a, z, bias: pair_lse(a, Columns(z, bias), scale=0.7, rule=rule)[kept], leaves)


def test_candidates_that_are_constants_get_no_gradient_and_the_others_theirs():
    a, z, bias = random_pairs(5, 7, 3)
    want = both_ways(pair_lse, (a, z, bias, torch.tensor(1.0, dtype=F64)), torch.ones(5, dtype=F64))[1]
    for at, leaf in enumerate((a, z, bias)):
        leaves = [t.clone() for t in (a, z, bias)]
        leaves[at].requires_grad_()
        out = pair_lse(leaves[0], Columns(leaves[1], leaves[2]), scale=1.0)
        torch.testing.assert_close(torch.autograd.grad(out.sum(), leaves[at])[0], want[at])
        assert leaf.grad is None


def test_a_device_that_differs_is_named():
    with pytest.raises(InputError, match="must be on the device of the anchors, cpu"):
        pair_lse(torch.ones(2, 3), Columns(torch.ones(4, 3), ids=torch.ones(4, device="meta")), scale=1.0)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("itself", [False, True])
def test_products_of_bfloat16_are_within_their_rounding(both, itself, monkeypatch):
    monkeypatch.setattr(pair_tiles, "TILE_BYTES", 2**14)
    torch.manual_seed(0)
    a, z = (torch.nn.functional.normalize(torch.randn(300, 16), dim=1).requires_grad_() for _ in range(2))
    other = a if itself else z
    results = []
    for bf16 in (False, True):
        out = pair_lse(a, Columns(other), scale=5.0, rule=Rule(exclude=torch.arange(300)), both=both, bf16=bf16)
        sums = torch.cat(out) if both else out
        results.append((sums.detach(), *torch.autograd.grad(sums.sum(), (a,) if itself else (a, z))))
    (value, *gradients), (rounded, *rough) = results
    torch.testing.assert_close(rounded, value, rtol=2e-2, atol=0)
    assert not torch.equal(rounded, value)
    for one, exact in zip(rough, gradients, strict=True):
        assert (one - exact).norm() < 2e-2 * exact.norm()


def test_listed_blocks_are_the_only_pairs_that_are_met():
    a, z, _ = random_pairs(3, 4, 2)
    blocks = Blocks(torch.tensor([0, 2, 3]), torch.tensor([0, 2, 1]), torch.tensor([0, 1, 4]))  # (0, 2) x {0}, 1 x {1, 2, 3}
    out = pair_lse(a, Columns(z, blocks=blocks), scale=1.5)
    logits = 1.5 * a @ z.T
    torch.testing.assert_close(out, torch.stack([logits[0, 0], logits[1, 1:].logsumexp(0), logits[2, 0]]))


def test_blocks_are_refused_where_they_would_be_ignored():
    a, z, _ = random_pairs(3, 4, 2)
    columns = Columns(z, blocks=Blocks(torch.tensor([0, 3]), torch.arange(3), torch.tensor([0, 4])))
    for option in ("both", "bf16"):
        with pytest.raises(InputError, match="blocks give sums of rows in full precision only"):
            pair_lse(a, columns, scale=1.0, **{option: True})
    with pytest.raises(InputError, match="drop the blocks"):
        pair_sum(a, columns, kernel=GaussianKernel())
    with pytest.raises(InputError, match="drop the blocks"):
        pair_power_lse(a, columns, scale=1.0, gamma=1.0)
