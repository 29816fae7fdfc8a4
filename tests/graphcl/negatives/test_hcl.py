import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.kernels import Columns, Rule
from graphcl.kernels.pair_reference import pair_logits_reference
from graphcl.negatives import HCL, Exact

F64 = torch.float64


def unit(n, d, seed=0):
    torch.manual_seed(seed)
    return F.normalize(torch.randn(n, d, dtype=F64), dim=1)


def rules(n, m):
    torch.manual_seed(3)
    ids, others = torch.randint(3, (n,)), torch.randint(3, (m,))
    exclude = torch.randint(-1, m + 1, (n,))
    stages = torch.randint(2, (n, 4)), torch.randint(2, (m, 4))
    seen = torch.arange(n + 1), torch.arange(n) % m
    return {
        "all": Rule(),
        "exclude": Rule(exclude),
        "same": Rule(same=(ids, others)),
        "different": Rule(different=(ids, others)),
        "same, exclude": Rule(exclude, same=(ids, others)),
        "different, exclude": Rule(exclude, different=(ids, others)),
        "both": Rule(exclude, same=(ids, others), different=(ids, others.flip(0))),
        "clusters": Rule(clusters=stages),
        "seen": Rule(exclude, seen=seen),
    }


def by_hand(a, z, scale, beta, rule, *, detach=False):
    """The ratio of sums of exponentials, with the weights of the pairs."""
    weights = pair_logits_reference(a, Columns(z), scale=0.0, rule=rule).exp()
    logits = torch.as_tensor(scale, dtype=F64).reshape(-1, 1) * (a @ z.T)
    importance = (beta * (logits.detach() if detach else logits)).exp()
    mean = (weights * importance).sum(1) / weights.sum(1)
    return ((weights * importance * logits.exp()).sum(1) / mean).log()


@pytest.mark.parametrize("which", rules(7, 11))
@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_it_is_the_formula_with_its_gradients_under_every_rule(which, detach, beta):
    a, z, scale = unit(7, 3).requires_grad_(), unit(11, 3, 1).requires_grad_(), torch.tensor(1.7, dtype=F64, requires_grad=True)
    rule = rules(7, 11)[which]
    out = HCL(beta, detach_importance=detach).log_z(a, z, scale=scale, rule=rule)
    want = by_hand(a, z, scale, beta, rule, detach=detach)
    there = torch.isfinite(want)
    assert there.sum() >= 3
    torch.testing.assert_close(out[there], want[there])
    assert (out[~there] == -torch.inf).all()
    got, wanted = (torch.autograd.grad(x[there].sum(), (a, z, scale)) for x in (out, want))
    torch.testing.assert_close(got, wanted)


def test_it_takes_a_scale_for_each_anchor():
    a, z, scale = unit(5, 3), unit(4, 3, 1), torch.tensor([1.0, 2.0, 3.0, 0.5, 9.0], dtype=F64)
    torch.testing.assert_close(HCL(0.7).log_z(a, z, scale=scale, rule=Rule()), by_hand(a, z, scale, 0.7, Rule()))


@pytest.mark.parametrize("detach", [False, True])
def test_without_beta_it_is_exact_to_the_bit_and_near_zero_it_goes_there(detach):
    a, z, rule = unit(7, 3), unit(7, 3, 1), Rule(torch.arange(7))
    exact = Exact().log_z(a, z, scale=2.0, rule=rule)
    assert torch.equal(HCL(0.0, detach_importance=detach).log_z(a, z, scale=2.0, rule=rule), exact)
    near = HCL(1e-9, detach_importance=detach).log_z(a, z, scale=2.0, rule=rule)
    torch.testing.assert_close(near, exact, atol=1e-8, rtol=0)


def test_a_large_beta_leaves_only_the_hardest_negative():
    a, z, rule = unit(7, 3), unit(9, 3, 1), Rule(torch.arange(7))
    hardest = (2.0 * a @ z.T).scatter(1, torch.arange(7)[:, None], -torch.inf).amax(1)
    torch.testing.assert_close(HCL(1e5).log_z(a, z, scale=2.0, rule=rule), hardest + math.log(8), atol=1e-6, rtol=0)


def test_it_never_falls_below_the_exact_value_and_grows_with_beta():
    a, z, rule = unit(20, 3), unit(20, 3, 1), Rule(torch.arange(20))
    values = [HCL(beta).log_z(a, z, scale=3.0, rule=rule) for beta in (0.0, 0.5, 1.0, 4.0)]
    assert all((harder > easier).all() for easier, harder in itertools.pairwise(values))


def test_equally_similar_negatives_make_it_exact():
    a, z = unit(5, 3), unit(1, 3, 1).expand(6, 3)
    torch.testing.assert_close(HCL(3.0).log_z(a, z, scale=2.0, rule=Rule()), Exact().log_z(a, z, scale=2.0, rule=Rule()))


def test_a_detached_importance_gives_the_softmax_of_the_sharper_logits():
    a, z = unit(4, 3), unit(6, 3, 1).requires_grad_()
    out = HCL(2.0, detach_importance=True).log_z(a, z, scale=1.5, rule=Rule())
    share = (3 * 1.5 * a @ z.T).softmax(1)
    torch.testing.assert_close(torch.autograd.grad(out.sum(), z)[0], 1.5 * share.T @ a)


@pytest.mark.parametrize("detach", [False, True])
def test_an_anchor_without_negatives_has_minus_infinity_and_no_gradient(detach):
    a, z = unit(1, 3).requires_grad_(), unit(1, 3).requires_grad_()
    out = HCL(detach_importance=detach).log_z(a, z, scale=2.0, rule=Rule(torch.tensor([0])))
    assert out.tolist() == [-torch.inf]
    out.sum().backward()
    assert torch.count_nonzero(a.grad) == torch.count_nonzero(z.grad) == 0


@pytest.mark.parametrize("beta", [-0.1, math.nan, math.inf])
def test_a_beta_that_is_none_is_named(beta):
    with pytest.raises(InputError, match=rf"beta must be >= 0; got {beta}"):
        HCL(beta)


def test_it_prints_its_beta():
    assert repr(HCL(0.5)) == "HCL(beta=0.5)"
