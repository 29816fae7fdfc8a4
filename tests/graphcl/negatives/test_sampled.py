import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.kernels import Rule
from graphcl.negatives import Exact, Sampled

F64 = torch.float64


def unit(n, d, seed=0):
    torch.manual_seed(seed)
    return F.normalize(torch.randn(n, d, dtype=F64), dim=1)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("proposal", [None, torch.tensor([3.0, 1, 0.5, 2, 1])])
def test_it_is_the_formula_of_its_draws_with_gradients(proposal):
    a, z = unit(4, 3).requires_grad_(), unit(5, 3, 1).requires_grad_()
    index = Sampled(8, proposal, generator=generator()).draw(5)
    q = torch.full((5,), 0.2, dtype=F64) if proposal is None else proposal.double() / proposal.sum()
    exclude = torch.tensor([4, 0, 2, 9])
    logits = 2.0 * a @ z[index].T - (8 * q[index]).log()
    want = logits.masked_fill(exclude[:, None] == index, -torch.inf).logsumexp(1)
    out = Sampled(8, proposal, generator=generator()).log_z(a, z, scale=2.0, rule=Rule(exclude))
    torch.testing.assert_close(out, want)
    torch.testing.assert_close(torch.autograd.grad(out.sum(), (a, z)), torch.autograd.grad(want.sum(), (a, z)))


def test_every_candidate_once_by_the_uniform_is_exact(monkeypatch):
    a, z, labels = unit(7, 3), unit(7, 3, 1), torch.arange(7) % 3
    order = torch.randperm(7)
    monkeypatch.setattr(Sampled, "draw", lambda self, num_candidates: order)
    for rule in (Rule(), Rule(torch.arange(7)), Rule(torch.arange(7), different=(labels, labels))):
        out = Sampled(7).log_z(a, z, scale=2.0, rule=rule)
        torch.testing.assert_close(out, Exact().log_z(a, z, scale=2.0, rule=rule))


@pytest.mark.parametrize("by_proposal", [False, True])
def test_the_sum_is_unbiased_and_its_logarithm_too_low(by_proposal):
    a, z = unit(5, 4), unit(40, 4, 1)
    labels = torch.arange(40) % 8
    rule = Rule(torch.arange(5), different=(labels[:5], labels))
    sampled = Sampled(16, torch.rand(40) + 0.2 if by_proposal else None, generator=generator())
    draws = torch.stack([sampled.log_z(a, z, scale=3.0, rule=rule) for _ in range(1500)])
    exact = Exact().log_z(a, z, scale=3.0, rule=rule)
    ratio = (draws - exact).exp()
    assert ((ratio.mean(0) - 1).abs() < 4 * ratio.std(0) / 1500**0.5).all()
    assert (draws.mean(0) < exact).all()


def test_draws_follow_the_proposal_and_never_meet_a_weight_of_zero():
    proposal = torch.tensor([0.0, 1.0, 0.0, 3.0, 0.0])
    drawn = torch.bincount(Sampled(4000, proposal, generator=generator()).draw(5), minlength=5)
    assert drawn[[0, 2, 4]].tolist() == [0, 0, 0]
    assert abs(int(drawn[3]) - 3000) < 4 * (4000 * 0.75 * 0.25) ** 0.5


def test_the_last_candidate_of_weight_zero_is_safe_from_rounding(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda n, **options: torch.ones(n, dtype=F64))
    assert Sampled(2, torch.tensor([1.0, 2.0, 0.0])).draw(3).tolist() == [1, 1]


def test_the_generator_decides():
    a, z = unit(3, 3), unit(50, 3, 1)
    first, again, other = (Sampled(5, generator=generator(s)).log_z(a, z, scale=1.0, rule=Rule()) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_anchor_whose_draws_are_all_left_out_has_minus_infinity_and_no_gradient():
    a, z = unit(1, 3).requires_grad_(), unit(1, 3).requires_grad_()
    out = Sampled(3).log_z(a, z, scale=1.0, rule=Rule(torch.tensor([0])))
    assert out.tolist() == [-torch.inf]
    out.sum().backward()
    assert torch.count_nonzero(a.grad) == torch.count_nonzero(z.grad) == 0


def test_no_draws_are_refused():
    with pytest.raises(InputError, match=r"num must be >= 1, the number of draws; got 0"):
        Sampled(0)


@pytest.mark.parametrize("proposal", [torch.zeros(3), torch.tensor([-1.0, 2]), torch.tensor([torch.nan]), torch.ones(2, 2)])
def test_weights_that_are_none_are_named(proposal):
    with pytest.raises(InputError, match=r"finite weights >= 0 that are not all 0; got shape .* Log-probabilities\?"):
        Sampled(2, proposal)


def test_a_proposal_of_another_batch_is_named():
    with pytest.raises(InputError, match=r"weights for 3 candidates but there are 4: was it made for another batch\?"):
        Sampled(2, torch.ones(3)).log_z(unit(4, 2), unit(4, 2), scale=1.0, rule=Rule())


def test_no_candidate_is_named():
    with pytest.raises(InputError, match="there is no candidate to draw"):
        Sampled(2).log_z(unit(1, 2), torch.ones(0, 2, dtype=F64), scale=1.0, rule=Rule())


def test_a_rule_of_other_candidates_is_named_before_the_draw():
    with pytest.raises(InputError, match="different must give the ids of the candidates"):
        Sampled(2).log_z(unit(4, 2), unit(4, 2), scale=1.0, rule=Rule(different=(torch.arange(4), torch.arange(2))))


def test_it_prints_its_draws():
    assert repr(Sampled(5)) == "Sampled(5, uniform)"
    assert repr(Sampled(5, torch.ones(2))) == "Sampled(5, by proposal)"
