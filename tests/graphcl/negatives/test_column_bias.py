import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.kernels import Columns, Rule, pair_lse
from graphcl.losses import PairLoss, coupled, decoupled
from graphcl.negatives import HCL, ColumnBias, Exact

F64 = torch.float64
A = F.normalize(torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64), dim=1)
B = F.normalize(torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64), dim=1)
STRENGTH = torch.tensor([0.1, 0.1, 0.3, 0.3], dtype=F64)


def unit(n, d, seed=0):
    torch.manual_seed(seed)
    return F.normalize(torch.randn(n, d, dtype=F64), dim=1)


def test_golden_value_of_the_team_up():
    loss = PairLoss(coupled, negatives=ColumnBias(STRENGTH, tempered=True), symmetric="off")
    assert loss(A, B).item() == pytest.approx(0.9488185826, abs=1e-9)


@pytest.mark.parametrize("link", [coupled, decoupled])
def test_the_strength_of_the_anchor_cancels_in_the_team_up(link):
    logits = 2.0 * (A @ B.T + STRENGTH[:, None] + STRENGTH)
    if link is coupled:
        want = (logits.logsumexp(1) - logits.diagonal()).mean()
    else:
        rest = logits.masked_fill(torch.eye(4, dtype=torch.bool), -torch.inf)
        want = (rest.logsumexp(1) - logits.diagonal()).mean()
    loss = PairLoss(link, negatives=ColumnBias(STRENGTH, tempered=True), symmetric="off")
    torch.testing.assert_close(loss(A, B), want)


@pytest.mark.parametrize("scale", [2.0, torch.tensor([0.5, 1.0, 7.0], dtype=F64)])
@pytest.mark.parametrize("tempered", [False, True])
def test_it_is_a_bias_of_the_columns_with_the_same_gradients(scale, tempered):
    a, z, bias = unit(3, 4).requires_grad_(), unit(5, 4, 1).requires_grad_(), torch.randn(5, dtype=F64, requires_grad=True)
    rule = Rule(torch.tensor([1, 4, 0]))
    out = ColumnBias(bias, tempered=tempered, correct_positive=False).log_z(a, z, scale=scale, rule=rule)
    if tempered:
        logits = torch.as_tensor(scale, dtype=F64).reshape(-1, 1) * (a @ z.T + bias)
        want = logits.scatter(1, rule.exclude[:, None], -torch.inf).logsumexp(1)
    else:
        want = pair_lse(a, Columns(z, bias=bias), scale=scale, rule=rule)
    torch.testing.assert_close(out, want)
    torch.testing.assert_close(torch.autograd.grad(out.sum(), (a, z, bias)), torch.autograd.grad(want.sum(), (a, z, bias)))


def test_a_learned_scale_gets_the_gradient_of_the_similarities_alone():
    a, z, bias = unit(3, 4), unit(5, 4, 1), torch.randn(5, dtype=F64)
    scale = torch.tensor(2.0, dtype=F64, requires_grad=True)
    out = ColumnBias(bias).log_z(a, z, scale=scale, rule=Rule(torch.arange(3)))
    want = pair_lse(a, Columns(z, bias=bias), scale=scale, rule=Rule(torch.arange(3)))
    torch.testing.assert_close(torch.autograd.grad(out.sum(), scale), torch.autograd.grad(want.sum(), scale))


def test_the_estimator_inside_sees_the_biased_logits():
    a, z, bias = unit(3, 4), unit(5, 4, 1), torch.randn(5, dtype=F64)
    out = ColumnBias(bias, HCL(1.0), correct_positive=False).log_z(a, z, scale=2.0, rule=Rule())
    logits = 2.0 * a @ z.T + bias
    want = torch.tensor(5.0, dtype=F64).log() + (2 * logits).logsumexp(1) - logits.logsumexp(1)
    torch.testing.assert_close(out, want)


def test_no_bias_or_the_same_for_all_changes_no_loss():
    z1, z2 = unit(6, 3), unit(6, 3, 1)
    for bias in (torch.zeros(6), torch.full((6,), 3.0)):
        torch.testing.assert_close(PairLoss(negatives=ColumnBias(bias))(z1, z2), PairLoss()(z1, z2))


def test_popularity_corrects_a_batch_to_the_catalogue():
    a, items = unit(4, 3), unit(3, 3, 1)
    batch = torch.tensor([0, 0, 0, 1, 1, 2])  # three times, twice, once
    bias = -torch.tensor([3.0, 3, 3, 2, 2, 1], dtype=F64).log()
    out = ColumnBias(bias, correct_positive=False).log_z(a, items[batch], scale=2.0, rule=Rule())
    torch.testing.assert_close(out, Exact().log_z(a, items, scale=2.0, rule=Rule()))


@pytest.mark.parametrize("bias", [torch.ones(2, 2), torch.tensor([0.0, -torch.inf])])
def test_a_bias_that_is_none_is_named(bias):
    with pytest.raises(InputError, match="bias must be a vector of finite numbers"):
        ColumnBias(bias)


def test_a_bias_of_another_batch_is_named():
    with pytest.raises(InputError, match=r"speaks of 3 candidates but there are 4: was it made for another batch\?"):
        ColumnBias(torch.ones(3)).log_z(A, B, scale=1.0, rule=Rule())


@pytest.mark.parametrize("exclude", [None, torch.tensor([0, 1, 2, 4])])
def test_a_positive_that_the_rule_does_not_name_is_told(exclude):
    with pytest.raises(InputError, match="use correct_positive=False"):
        ColumnBias(STRENGTH).log_z(A, B, scale=1.0, rule=Rule(exclude))


def test_it_reads_the_positive_where_it_corrects_it():
    assert ColumnBias(STRENGTH).reads_positive
    assert not ColumnBias(STRENGTH, correct_positive=False).reads_positive


def test_it_prints_what_is_inside():
    assert repr(ColumnBias(STRENGTH)) == "ColumnBias(Exact())"
