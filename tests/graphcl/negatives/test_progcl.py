import copy

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Beta

from graphcl.errors import InputError
from graphcl.kernels import Columns, Rule, pair_lse
from graphcl.losses import NTXent
from graphcl.negatives import BetaPosterior
from graphcl.negatives import progcl as module


def unit(n, d, seed=0):
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))


def sample(n=40_000, share=0.2):
    """Similarities of a mixture: true negatives about 0.3 of the way up, false ones about 0.8."""
    torch.manual_seed(0)
    false = torch.rand(n) < share
    return 2 * torch.where(false, Beta(24.0, 6.0).sample((n,)), Beta(6.0, 14.0).sample((n,))) - 1, false


def fitted():
    mixture = BetaPosterior()
    mixture.fit(sample()[0])
    return mixture


def weights(mixture, s):
    """``P(true | x) x`` by torch's own densities."""
    x = ((s + 1) / 2).clamp(1e-4, 1 - 1e-4)
    density = [share * Beta(*shape).log_prob(x).exp() for shape, share in zip(mixture.shapes, mixture.shares, strict=True)]
    return density[0] / (density[0] + density[1]) * x


def test_a_mixture_is_found_again():
    similarity, false = sample()
    mixture = BetaPosterior(false_share=0.1, iterations=60)
    mixture.fit(similarity)
    means = mixture.shapes[:, 0] / mixture.shapes.sum(1)
    torch.testing.assert_close(means, torch.tensor([0.3, 0.8]).double(), atol=0.02, rtol=0)
    torch.testing.assert_close(mixture.shares, torch.tensor([0.8, 0.2]).double(), atol=0.02, rtol=0)
    torch.testing.assert_close(mixture.shapes, torch.tensor([[6.0, 14.0], [24.0, 6.0]]).double(), rtol=0.15, atol=0)
    guess = mixture.log_posterior(similarity).exp() < 0.5
    assert (guess == false).double().mean() > 0.97


def test_the_component_of_low_similarity_is_the_true_one_whatever_the_share():
    for share in (0.02, 0.5, 0.98):
        mixture = BetaPosterior(false_share=share)
        mixture.fit(sample(4000, share=0.6)[0])
        low, high = mixture.log_posterior(torch.tensor([-0.5, 0.7]))
        assert low > high


def test_the_sum_is_that_of_dense_weights():
    mixture, a, z, temperature = fitted(), unit(7, 3), unit(9, 3, 1), 0.3
    own = torch.arange(7)
    got = mixture.log_z(a, z, scale=1 / temperature, rule=Rule(exclude=own))
    s = a @ z.T
    keep = torch.ones(7, 9, dtype=torch.float64)
    keep[own, own] = 0
    b = weights(mixture, s) * keep
    w = b / (b.sum(1, keepdim=True) / keep.sum(1, keepdim=True))
    torch.testing.assert_close(got, (w * (s / temperature).exp()).sum(1).log())


def test_the_loss_of_two_views_weighs_both_kinds_of_negatives():
    mixture, z1, z2, t = fitted(), unit(8, 3), unit(8, 3, 1), 0.4
    z1.requires_grad_()
    eye = torch.eye(8, dtype=torch.bool)

    def one_way(u, v):
        s = torch.cat([u @ v.T, u @ u.T], 1)
        own = torch.cat([eye, eye], 1)
        with torch.no_grad():
            b = weights(mixture, s).masked_fill(own, 0)
            w = b / (b.sum(1, keepdim=True) / 14)
        positive = (u * v).sum(1) / t
        return (((w * (s / t).exp()).sum(1) + positive.exp()).log() - positive).mean()

    want = (one_way(z1, z2) + one_way(z2, z1)) / 2
    got = NTXent(t, negatives=mixture)(z1, z2)
    torch.testing.assert_close(got, want)
    # unit rows: the tangent part is what can differ by nothing
    ours, theirs = (torch.autograd.grad(value, z1)[0] for value in (got, want))
    theirs = theirs - (theirs * z1).sum(1, keepdim=True) * z1
    torch.testing.assert_close(ours, theirs)


def test_until_it_is_fitted_all_weights_are_one():
    a, z, rule = unit(6, 4), unit(6, 4, 1), Rule(exclude=torch.arange(6))
    torch.testing.assert_close(BetaPosterior().log_z(a, z, scale=2.0, rule=rule), pair_lse(a, Columns(z), scale=2.0, rule=rule))
    torch.testing.assert_close(NTXent(0.4, negatives=BetaPosterior())(a, z), NTXent(0.4)(a, z))


def test_equally_similar_negatives_have_weight_one():
    a, z = torch.eye(4, dtype=torch.float64), -torch.eye(4, dtype=torch.float64)
    rule = Rule(exclude=torch.arange(4))
    torch.testing.assert_close(fitted().log_z(a, z, scale=3.0, rule=rule), pair_lse(a, Columns(z), scale=3.0, rule=rule))


def test_chunks_change_neither_value_nor_gradient(monkeypatch):
    mixture, a, z = fitted(), unit(11, 3).requires_grad_(), unit(7, 3, 1).requires_grad_()
    names = torch.arange(11) % 4, torch.arange(7) % 4
    results = []
    for pairs in (2**22, 15):
        monkeypatch.setattr(module, "_PAIRS", pairs)
        value = mixture.log_z(a, z, scale=2.0, rule=Rule(different=names))
        results.append((value, *torch.autograd.grad(value.square().sum(), (a, z))))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_anchors_without_negatives_have_none_and_no_nan():
    mixture, a, z = fitted(), unit(3, 3).requires_grad_(), unit(2, 3, 1)
    value = mixture.log_z(a, z, scale=2.0, rule=Rule(same=(torch.tensor([0, 1, 2]), torch.tensor([0, 1]))))
    assert value[2] == -torch.inf
    value[:2].sum().backward()
    assert a.grad.isfinite().all()
    assert not a.grad[2].any()


def test_the_mixture_is_state():
    mixture, other = fitted(), BetaPosterior()
    other.load_state_dict(copy.deepcopy(mixture.state_dict()))
    a, z = unit(5, 3), unit(5, 3, 1)
    assert torch.equal(*(m.log_z(a, z, scale=2.0, rule=Rule()) for m in (mixture, other)))
    assert "not fitted" in repr(BetaPosterior())
    assert "true: Beta(" in repr(other)


def test_equal_similarities_can_be_fitted():
    mixture = BetaPosterior()
    mixture.fit(torch.full((10,), 0.3))
    assert mixture.shapes.isfinite().all()
    assert mixture.log_posterior(torch.tensor([-1.0, 0.3, 1.0])).isfinite().all()


def test_what_is_wrong_is_named():
    with pytest.raises(InputError, match=r"false_share must lie in \(0, 1\)"):
        BetaPosterior(false_share=1.0)
    with pytest.raises(InputError, match="iterations must be >= 1; got 0"):
        BetaPosterior(iterations=0)
    for bad in (torch.zeros(0), torch.tensor([torch.nan])):
        with pytest.raises(InputError, match="finite similarities, one at least"):
            BetaPosterior().fit(bad)
    seen = torch.tensor([0, 1, 1]), torch.tensor([0])
    with pytest.raises(InputError, match="leave clusters and seen out"):
        fitted().log_z(unit(2, 3), unit(2, 3), scale=1.0, rule=Rule(seen=seen))
