import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels import Columns, Rule, pair_blocks, pair_lse
from graphcl.kernels.blocks import Blocks
from graphcl.kernels.pair_blocks import pair_lse_blocks
from graphcl.kernels.pair_reference import pair_logits_reference

F64 = torch.float64
# (rows, columns, dimensions, blocks)
SIZES = [(1, 1, 1, 1), (7, 5, 3, 2), (5, 13, 4, 7), (31, 17, 6, 4), (67, 41, 16, 9)]


def random_blocks(n, m, b, seed=0):
    """Some empty of rows, some of columns, one of a single row; and the mask they stand for."""
    generator = torch.Generator().manual_seed(seed)
    cuts = torch.sort(torch.randint(m + 1, (b + 1,), generator=generator)).values
    mask = torch.rand(b, n, generator=generator) < 0.5
    mask[0] = torch.arange(n) == n // 2
    if b > 2:
        mask[1] = False
    rows = mask.nonzero()[:, 1]
    pointers = torch.cat([torch.zeros(1, dtype=torch.int64), mask.sum(1).cumsum(0)])
    pairs = torch.zeros(n, m, dtype=torch.bool)
    for k in range(b):
        pairs[mask[k], cuts[k] : cuts[k + 1]] = True
    return Blocks(pointers, rows, cuts), pairs


def random_pairs(n, m, d, seed=0, dtype=F64):
    torch.manual_seed(seed)
    return torch.randn(n, d, dtype=dtype), torch.randn(m, d, dtype=dtype), torch.randn(m, dtype=dtype)


def dense(a, z, bias, scale, pairs, ids=None, rule=None):
    """The same by one masked array; a row without a pair is kept away from the logarithm, whose gradient there is not 0."""
    logits = pair_logits_reference(a, Columns(z, bias, ids), scale=scale, rule=rule).masked_fill(~pairs, -torch.inf)
    none = (logits == -torch.inf).all(1)
    return logits.masked_fill(none[:, None], 0.0).logsumexp(1).masked_fill(none, -torch.inf)


def agree(tensors, blocks, pairs, ids=None, rule=None, **tolerance):
    results = []
    grad = torch.randn(len(tensors[0]), dtype=tensors[0].dtype)
    for blocked in (True, False):
        leaves = [None if t is None else t.detach().clone().requires_grad_() for t in tensors]
        a, z, bias, scale = leaves
        if blocked:
            out = pair_lse_blocks(a, Columns(z, bias, ids, blocks), scale=scale, rule=rule)
        else:
            out = dense(a, z, bias, scale, pairs, ids, rule)
        value = out.masked_fill(out == -torch.inf, 0.0)
        used = [leaf for leaf in leaves if leaf is not None]
        results.append((out.detach(), *torch.autograd.grad(value, used, grad)))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, **tolerance)


@pytest.mark.parametrize(("n", "m", "d", "b"), SIZES)
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("per_row", [False, True])
def test_value_and_all_gradients_equal_the_dense_reference(n, m, d, b, biased, per_row):
    a, z, bias = random_pairs(n, m, d)
    scale = torch.rand(n, dtype=F64) + 0.5 if per_row else torch.tensor(1.7, dtype=F64)
    agree((a, z, bias if biased else None, scale), *random_blocks(n, m, b))


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("parts", [("exclude",), ("different",), ("seen",), ("exclude", "different", "seen")])
@pytest.mark.parametrize("budget", [1, 700, 2**22])
def test_rules_hold_inside_the_blocks_however_they_are_cut(named, parts, budget, monkeypatch):
    monkeypatch.setattr(pair_blocks, "TILE_BYTES", budget)
    n, m = 23, 19
    a, z, bias = random_pairs(n, m, 3)
    ids = torch.randint(9, (m,)) if named else None
    crow = torch.cat([torch.zeros(1, dtype=torch.int64), torch.randint(5, (n,)).cumsum(0)])
    whole = {
        "exclude": torch.randint(-1, m + 2, (n,)),
        "different": (torch.randint(4, (n,)), torch.randint(4, (m,))),
        "seen": (crow, torch.randint(m, (int(crow[-1]),))),
    }
    rule = Rule(**{part: whole[part] for part in parts})
    agree((a, z, bias, torch.tensor(0.8, dtype=F64)), *random_blocks(n, m, 5), ids, rule)


@pytest.mark.parametrize("biased", [False, True])
def test_gradcheck_passes(biased, monkeypatch):
    monkeypatch.setattr(pair_blocks, "TILE_BYTES", 64)
    a, z, bias = random_pairs(6, 7, 3)
    blocks = Blocks(torch.tensor([0, 5, 6]), torch.tensor([0, 1, 2, 3, 5, 3]), torch.tensor([1, 4, 7]))
    rule = Rule(torch.tensor([1, 2, 2, 4, 9, 0]), seen=(torch.tensor([0, 1, 1, 1, 1, 1, 1]), torch.tensor([3])))
    listed = torch.tensor([0, 1, 2, 3, 5])

    def function(a, z, scale, bias=None):
        return pair_lse_blocks(a, Columns(z, bias, blocks=blocks), scale=scale, rule=rule).index_select(0, listed)

    inputs = (a, z, torch.tensor(0.8, dtype=F64), bias)[: 4 if biased else 3]
    assert torch.autograd.gradcheck(function, tuple(t.requires_grad_() for t in inputs))


def test_one_block_of_everything_is_the_sweep_over_all_pairs():
    a, z, bias = random_pairs(9, 11, 4)
    blocks = Blocks(torch.tensor([0, 9]), torch.arange(9), torch.tensor([0, 11]))
    out = pair_lse_blocks(a, Columns(z, bias, blocks=blocks), scale=3.0)
    torch.testing.assert_close(out, pair_lse(a, Columns(z, bias), scale=3.0))


def test_no_block_at_all_is_nothing_and_has_no_gradient():
    a, z, _ = random_pairs(3, 4, 2)
    a.requires_grad_()
    empty = torch.zeros(1, dtype=torch.int64)
    out = pair_lse_blocks(a, Columns(z, blocks=Blocks(empty, empty[:0], empty)), scale=1.0)
    assert (out == -torch.inf).all()
    assert not torch.autograd.grad(out, a, torch.ones(3, dtype=F64))[0].any()


@pytest.mark.parametrize("size", [1.0, 3e3])
def test_single_precision_stays_near_double_for_small_and_for_huge_logits(size):
    blocks, pairs = random_blocks(67, 41, 9)
    a, z, _ = random_pairs(67, 41, 8, dtype=torch.float32)
    scale = torch.tensor(size)
    out = pair_lse_blocks(a, Columns(z, blocks=blocks), scale=scale)
    want = dense(a.double(), z.double(), None, scale.double(), pairs).float()
    torch.testing.assert_close(out, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(dtype):
    blocks, pairs = random_blocks(31, 17, 4)
    a, z, _ = (t.to(dtype) for t in random_pairs(31, 17, 4))
    a.requires_grad_()
    out = pair_lse_blocks(a, Columns(z, blocks=blocks), scale=2.0)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, dense(a.float(), z.float(), None, 2.0, pairs), rtol=1e-5, atol=1e-5)
    assert torch.autograd.grad(out[pairs.any(1)].sum(), a)[0].dtype == dtype


def test_two_runs_give_the_same_bits():
    blocks, pairs = random_blocks(67, 41, 9)
    results = []
    for _ in range(2):
        a, z, bias = (t.requires_grad_() for t in random_pairs(67, 41, 8, dtype=torch.float32))
        out = pair_lse_blocks(a, Columns(z, bias, blocks=blocks), scale=2.0)
        results.append((out, *torch.autograd.grad(out[pairs.any(1)].sum(), (a, z, bias))))
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_what_blocks_cannot_do_is_named():
    a, z, _ = random_pairs(5, 7, 2)
    blocks, _ = random_blocks(5, 7, 2)
    ids = (torch.zeros(5, dtype=torch.int64), torch.zeros(7, dtype=torch.int64))
    with pytest.raises(InputError, match="blocks know the rule parts exclude, different and seen"):
        pair_lse_blocks(a, Columns(z, blocks=blocks), scale=1.0, rule=Rule(same=ids))
    with pytest.raises(InputError, match="blocks know the rule parts"):
        pair_lse_blocks(a, Columns(z, blocks=blocks), scale=1.0, rule=Rule(clusters=(ids[0][:, None], ids[1][:, None])))
    with pytest.raises(InputError, match="there are no blocks"):
        pair_lse_blocks(a, Columns(z), scale=1.0)
    with pytest.raises(InputError, match=r"one for each anchor, \(5,\); got a tensor of shape \(4,\)"):
        pair_lse_blocks(a, Columns(z, blocks=blocks), scale=torch.ones(4))
    far = Blocks(torch.tensor([0, 1]), torch.tensor([5]), torch.tensor([0, 7]))
    with pytest.raises(InputError, match=r"rows in \[0, 5\)"):
        pair_lse_blocks(a, Columns(z, blocks=far), scale=1.0)
