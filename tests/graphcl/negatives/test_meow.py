import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.kernels import Rule
from graphcl.losses import PairLoss, decoupled
from graphcl.negatives import Exact, Meow

F64 = torch.float64
A = F.normalize(torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64), dim=1)
B = F.normalize(torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64), dim=1)


def unit(n, d, seed=0):
    torch.manual_seed(seed)
    return F.normalize(torch.randn(n, d, dtype=F64), dim=1)


def test_golden_value_of_one_clustering():
    loss = PairLoss(decoupled, negatives=Meow(torch.tensor([0, 0, 1, 1])), symmetric="off")
    assert loss(A, B).item() == pytest.approx(-0.1832243317, abs=1e-9)


@pytest.mark.parametrize("num", [1, 3])
def test_it_is_all_clusterings_times_the_sum_less_the_own_clusters(num):
    a, z = unit(9, 3).requires_grad_(), unit(9, 3, 1).requires_grad_()
    clusters = torch.randint(3, (9, num))
    clusters[0], clusters[1] = 0, 1
    terms = (2.0 * a @ z.T).exp()
    own = sum((clusters[:, m, None] == clusters[:, m]) * terms for m in range(num))
    want = (num * terms.sum(1) - own.sum(1)).log()
    out = Meow(clusters).log_z(a, z, scale=2.0, rule=Rule(torch.arange(9)))
    torch.testing.assert_close(out, want)
    torch.testing.assert_close(torch.autograd.grad(out.sum(), (a, z)), torch.autograd.grad(want.sum(), (a, z)))


def test_the_node_itself_never_counts_and_what_the_rule_leaves_out_neither():
    a, z, clusters = unit(6, 3), unit(6, 3, 1), torch.arange(6) % 2
    free = Meow(clusters).log_z(a, z, scale=2.0, rule=Rule())
    torch.testing.assert_close(Meow(clusters).log_z(a, z, scale=2.0, rule=Rule(torch.arange(6))), free)
    other = (torch.arange(6) + 1) % 6
    weights = (clusters[:, None] != clusters) & (other[:, None] != torch.arange(6))
    want = (2.0 * a @ z.T).masked_fill(~weights, -torch.inf).logsumexp(1)
    torch.testing.assert_close(Meow(clusters).log_z(a, z, scale=2.0, rule=Rule(other)), want)


def test_a_cluster_for_every_node_is_exact_and_repeats_add_their_logarithm():
    a, z, rule = unit(6, 3), unit(6, 3, 1), Rule(torch.arange(6))
    exact = Exact().log_z(a, z, scale=2.0, rule=rule)
    torch.testing.assert_close(Meow(torch.randperm(6)).log_z(a, z, scale=2.0, rule=rule), exact)
    twice = Meow(torch.randperm(6)[:, None].expand(6, 2)).log_z(a, z, scale=2.0, rule=rule)
    torch.testing.assert_close(twice, exact + torch.tensor(2.0).log())


def test_an_anchor_that_no_clustering_sets_apart_has_minus_infinity():
    out = Meow(torch.zeros(4, 2, dtype=torch.int64)).log_z(A, B, scale=1.0, rule=Rule(torch.arange(4)))
    assert out.tolist() == [-torch.inf] * 4
    labels, everyone = torch.tensor([0, 0, 0, 1]), (torch.tensor([0, 0, 0, 2]), torch.full((4,), 2))
    out = Meow(labels).log_z(A, B, scale=1.0, rule=Rule(different=everyone))
    assert torch.isneginf(out).tolist() == [False, False, False, True]


@pytest.mark.parametrize("clusterings", [torch.ones(4, 2), torch.ones(4, 0, dtype=torch.int64), torch.ones(2, 2, 2).long()])
def test_clusterings_that_are_none_are_named(clusterings):
    with pytest.raises(InputError, match=r"clusterings must be integers \(N, C\)"):
        Meow(clusterings)


def test_clusterings_of_another_batch_are_named():
    with pytest.raises(InputError, match=r"speak of 5 nodes but there are 4 anchors and 4 candidates"):
        Meow(torch.arange(5)).log_z(A, B, scale=1.0, rule=Rule())


def test_clusterings_from_two_sides_are_refused():
    ids = torch.arange(4)[:, None]
    with pytest.raises(InputError, match="the rule has clusterings already"):
        Meow(torch.arange(4)).log_z(A, B, scale=1.0, rule=Rule(clusters=(ids, ids)))


def test_it_prints_its_clusterings():
    assert repr(Meow(torch.ones(3, 2).long())) == "Meow(num_clusterings=2)"
