import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.kernels import Rule
from graphcl.losses import PairLoss, decoupled
from graphcl.negatives import Exact, MetaNode, PamCProxy

F64 = torch.float64


def rows(n, d, seed=0):
    torch.manual_seed(seed)
    return torch.randn(n, d, dtype=F64)


def official(z, assignment, scale):
    """Masks and loops, with the diagonal of cosines set to zero."""
    sums = torch.stack([z[assignment == c].sum(0) for c in assignment.unique()])
    cosines = F.cosine_similarity(sums[:, None], sums[None], dim=2)
    cosines = cosines * (1 - torch.eye(len(sums), dtype=F64))
    return (scale * cosines).exp().sum(1).log().mean()


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_the_official_term_is_the_formula_with_its_gradient_for_every_anchor(scale):
    z, assignment = rows(11, 4).requires_grad_(), torch.tensor([0, 3, 3, 1, 0, 1, 3, 0, 1, 1, 0])  # cluster 2 is empty
    out = PamCProxy(assignment, 5).log_z(z, z, scale=scale, rule=Rule(torch.arange(11)))
    want = official(z, assignment, scale)
    torch.testing.assert_close(out, want.expand(11))
    torch.testing.assert_close(torch.autograd.grad(out.mean(), z), torch.autograd.grad(want, z))


def test_one_cluster_repels_nobody():
    z = rows(5, 3).requires_grad_()
    out = PamCProxy(torch.zeros(5, dtype=torch.int64), 1).log_z(z, z, scale=2.0, rule=Rule())
    assert out.tolist() == [0.0] * 5
    assert torch.count_nonzero(torch.autograd.grad(out.sum(), z)[0]) == 0


def test_the_weighted_term_is_the_formula_and_its_mean_lies_below_that_of_nodes_against_clusters_and_of_all_pairs():
    u, assignment = F.normalize(rows(30, 4), dim=1), torch.arange(30) % 7
    out = PamCProxy(assignment, 7, level="weighted").log_z(u, u, scale=2.0, rule=Rule())
    means = torch.stack([u[assignment == c].mean(0) for c in range(7)])
    sizes = torch.bincount(assignment).double()
    torch.testing.assert_close(out, (sizes.log() + 2.0 * means @ means.T).logsumexp(1)[assignment])
    nodes = MetaNode(assignment, 7).log_z(u, u, scale=2.0, rule=Rule()).mean()
    assert out.mean() < nodes < Exact().log_z(u, u, scale=2.0, rule=Rule()).mean()


def test_singletons_and_agreeing_members_make_the_weighted_term_exact():
    u = F.normalize(rows(6, 4), dim=1)
    for z, assignment in ((u, torch.randperm(6)), (u[torch.arange(12) % 3], torch.arange(12) % 3)):
        out = PamCProxy(assignment, 6, level="weighted").log_z(z, z, scale=2.0, rule=Rule())
        torch.testing.assert_close(out, Exact().log_z(z, z, scale=2.0, rule=Rule()))


@pytest.mark.parametrize("level", ["official", "weighted"])
def test_rotations_orders_and_names_do_not_matter(level):
    z, assignment = rows(9, 3), torch.tensor([0, 1, 2, 2, 1, 0, 0, 1, 0])
    out = PamCProxy(assignment, 3, level=level).log_z(z, z, scale=1.5, rule=Rule())
    turned = z @ torch.linalg.qr(rows(3, 3, 1)).Q
    order, names = torch.randperm(9), torch.tensor([2, 0, 1])
    other = PamCProxy(names[assignment][order], 3, level=level).log_z(turned[order], turned[order], scale=1.5, rule=Rule())
    torch.testing.assert_close(other, out[order])


def test_lengths_of_rows_count_in_the_sums():
    z, assignment = rows(9, 3), torch.arange(9) % 3
    longer = z * torch.linspace(1, 5, 9, dtype=F64)[:, None]
    values = [PamCProxy(assignment, 3).log_z(x, x, scale=1.5, rule=Rule())[0].item() for x in (z, longer, 2 * z)]
    assert abs(values[0] - values[1]) > 1e-3
    assert values[0] == pytest.approx(values[2])


def test_it_works_in_a_pair_loss():
    z, assignment = rows(6, 3), torch.arange(6) % 2
    loss = PairLoss(decoupled, negatives=PamCProxy(assignment, 2), similarity="dot", temperature=0.5)(z, z)
    torch.testing.assert_close(loss, official(z, assignment, 2.0) - 2.0 * z.square().sum(1).mean())


def test_what_does_not_fit_is_named():
    z, assignment = rows(3, 2), torch.arange(3)
    with pytest.raises(InputError, match="level must be 'official' or 'weighted'; got 'node'"):
        PamCProxy(assignment, 3, level="node")
    with pytest.raises(InputError, match=r"integers \(N,\); got \(3, 3\).*argmax"):
        PamCProxy(torch.ones(3, 3), 3)
    with pytest.raises(InputError, match=r"clusters of 3 nodes but there are 4 anchors"):
        PamCProxy(assignment, 3).log_z(rows(4, 2), rows(4, 2), scale=1.0, rule=Rule())
    with pytest.raises(InputError, match="leave nobody out"):
        PamCProxy(assignment, 3).log_z(z, z, scale=1.0, rule=Rule(different=(assignment, assignment)))
    with pytest.raises(InputError, match="one scale, not one for each anchor"):
        PamCProxy(assignment, 3).log_z(z, z, scale=torch.ones(3, dtype=F64), rule=Rule())
    assert repr(PamCProxy(assignment, 3)) == "PamCProxy(num_clusters=3, level='official')"
