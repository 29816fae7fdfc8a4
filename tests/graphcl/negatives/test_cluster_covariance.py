import pytest
import torch

from graphcl.negatives.cluster_covariance import ClusterCovariance

F64 = torch.float64


def rows(n, d, seed=0):
    torch.manual_seed(seed)
    return torch.randn(n, d, dtype=F64)


def clusters(z, assignment, k, rank):
    counts = torch.bincount(assignment, minlength=k).to(F64)
    sums = torch.zeros(k, z.shape[1], dtype=F64).index_add(0, assignment, z)
    return ClusterCovariance(z, assignment, sums / counts.clamp(min=1)[:, None], counts, rank)


def dense(members, directions):
    """Population covariance, its part along the directions and the mean variance of the rest."""
    centred = members - members.mean(0)
    whole = centred.T @ centred / len(members)
    if directions is None:
        return whole
    dim, rank = directions.shape
    inside = directions @ directions.T @ whole @ directions @ directions.T
    outside = torch.eye(dim, dtype=F64) - directions @ directions.T
    return inside + outside * (whole.trace() - inside.trace()) / max(dim - rank, 1)


@pytest.mark.parametrize("rank", [None, 1, 2, 4, 9])
def test_an_anchor_sees_the_variance_along_itself(rank):
    a, z, assignment = rows(5, 4), rows(12, 4, 1), torch.tensor([0, 3, 0, 1, 3, 3, 0, 1, 0, 3, 0, 4])  # cluster 2 is empty
    scatter = clusters(z, assignment, 5, rank)
    seen = scatter.variance(a)
    for c in (0, 1, 3, 4):
        covariance = dense(z[assignment == c], None if rank is None else scatter.directions[c])
        torch.testing.assert_close(seen[:, c], ((a @ covariance) * a).sum(1))
    torch.testing.assert_close(seen[:, 2], torch.zeros(5, dtype=F64))


def test_directions_are_orthonormal_and_hold_the_most_variance():
    z = rows(40, 5) * torch.tensor([1.0, 5, 2, 0.1, 3], dtype=F64)
    scatter = clusters(z, torch.zeros(40, dtype=torch.int64), 1, 2)
    u = scatter.directions[0]
    torch.testing.assert_close(u.T @ u, torch.eye(2, dtype=F64))
    whole = dense(z, None)
    torch.testing.assert_close((u.T @ whole @ u).trace(), torch.linalg.eigvalsh(whole)[-2:].sum())


@pytest.mark.parametrize("rank", [None, 1, 3])
def test_a_member_is_taken_out_exactly(rank):
    a, z, assignment = rows(6, 4), rows(9, 4, 1), torch.tensor([0, 1, 0, 1, 1, 0, 0, 1, 0])
    scatter, left_out = clusters(z, assignment, 2, rank), torch.tensor([0, 1, 4, 8, 7, 2])
    own = assignment[left_out]
    mean, variance = scatter.without(a, scatter.variance(a).gather(1, own[:, None]).squeeze(1), left_out)
    for i in range(6):
        others = z[(assignment == own[i]) & (torch.arange(9) != left_out[i])]
        covariance = dense(others, None if rank is None else scatter.directions[own[i]])
        torch.testing.assert_close(mean[i], a[i] @ others.mean(0))
        torch.testing.assert_close(variance[i], a[i] @ covariance @ a[i])


def test_what_is_left_by_a_member_is_never_negative():
    a, z, assignment = rows(60, 8), rows(60, 8, 1), torch.arange(60) % 9
    scatter = clusters(z, assignment, 9, 3)
    own = scatter.variance(a).gather(1, assignment[:, None]).squeeze(1)
    assert (scatter.without(a, own, torch.arange(60))[1] > 0).all()


def test_all_directions_are_the_whole():
    a, z, assignment = rows(5, 3), rows(10, 3, 1), torch.arange(10) % 3
    for rank in (3, 7):
        torch.testing.assert_close(clusters(z, assignment, 3, rank).variance(a), clusters(z, assignment, 3, None).variance(a))


@pytest.mark.parametrize("rank", [None, 2])
def test_gradients_take_the_directions_as_constants(rank):
    a, z, assignment = rows(4, 3).requires_grad_(), rows(8, 3, 1).requires_grad_(), torch.arange(8) % 2
    directions = clusters(z, assignment, 2, rank).directions
    covariances = [dense(z[assignment == c], None if rank is None else directions[c]) for c in range(2)]
    want = torch.stack([((a @ s) * a).sum(1) for s in covariances], 1)
    out = clusters(z, assignment, 2, rank).variance(a)
    torch.testing.assert_close(torch.autograd.grad(out.sum(), (a, z)), torch.autograd.grad(want.sum(), (a, z)))
