import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from graphcl.errors import InputError
from graphcl.losses import InfoNCE
from graphcl.losses.proto_nce import ProtoNCE, concentration

F64 = torch.float64
A = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64)
B = torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64)


def clustered(n=23, k=5, d=4, seed=0):
    torch.manual_seed(seed)
    assignment = torch.cat([torch.arange(k), torch.randint(k, (n - k,))])
    return torch.randn(n, d, dtype=F64), torch.randn(k, d, dtype=F64), assignment


def dense_concentration(z, centres, assignment, alpha=10.0):
    """Cluster by cluster, with numpy's percentiles."""
    u, c = (F.normalize(x, dim=1).numpy() for x in (z, centres))
    phi, known = np.zeros(len(c)), np.zeros(len(c), dtype=bool)
    for k in range(len(c)):
        away = np.linalg.norm(u[assignment.numpy() == k] - c[k], axis=1)
        if len(away) > 1:
            phi[k], known[k] = away.mean() / math.log(len(away) + alpha), True
    phi[~known] = phi.max()
    phi = phi.clip(np.percentile(phi, 10), np.percentile(phi, 90))
    return torch.from_numpy(phi / phi.mean())


def dense(z, centres, assignment, phi, t):
    logits = F.normalize(z, dim=1) @ F.normalize(centres, dim=1).T / (t * phi)
    return F.cross_entropy(logits, assignment, reduction="none")


@pytest.mark.parametrize("alpha", [0.0, 5.0, 10.0])
@pytest.mark.parametrize("seed", range(3))
def test_concentration_is_the_formula_with_clusters_of_one_row_and_of_none(alpha, seed):
    z, centres, assignment = clustered(31, 9, seed=seed)
    assignment[assignment == 4] = 2
    assignment[(assignment == 7) & (torch.arange(31) != 7)] = 1
    want = dense_concentration(z, centres, assignment, alpha)
    got = concentration(z, centres, assignment, alpha=alpha)
    torch.testing.assert_close(got, want)
    assert got.mean().item() == pytest.approx(1)
    assert got[4] == got[7] == got.max()


def test_concentration_does_not_see_order_and_lengths_and_has_no_gradient():
    z, centres, assignment = clustered()
    want = concentration(z, centres, assignment)
    order, names = torch.randperm(23), torch.randperm(5)
    got = concentration(3 * z[order].requires_grad_(), centres[names] * torch.rand(5, 1), names.argsort()[assignment[order]])
    torch.testing.assert_close(got, want[names])
    assert not got.requires_grad


def test_clusters_that_are_points_have_equal_concentrations_or_a_floor():
    centres = torch.eye(3, dtype=F64)
    assignment = torch.tensor([0, 0, 1, 1, 2, 2])
    points = centres[assignment]
    assert torch.equal(concentration(points, centres, assignment), torch.ones(3, dtype=F64))
    centres = torch.eye(40, dtype=F64)
    assignment = torch.arange(40).repeat(3)
    z = centres[assignment]
    z[:10, 39] = 1.0  # loose clusters among points
    phi = concentration(z, centres, assignment)
    assert phi.min() == 0.01
    assert (phi[:10] > 1).all()
    assert torch.isfinite(ProtoNCE()(z, centres, assignment))


def test_it_has_the_golden_value_of_the_one_way_contrast():
    got = ProtoNCE(0.5)(A, B, torch.arange(4), concentrations=torch.ones(4))
    assert got.item() == pytest.approx(0.9521125602, abs=1e-9)


def test_one_row_in_each_cluster_is_infonce_with_fixed_candidates():
    z, centres, _ = clustered(7, 7)
    torch.testing.assert_close(ProtoNCE(0.3)(z, centres, torch.arange(7)), InfoNCE(0.3, symmetric="off")(z, centres))


@pytest.mark.parametrize("t", [0.05, 0.5])
@pytest.mark.parametrize("given", [False, True])
def test_it_is_the_mean_of_dense_cross_entropies_with_a_temperature_for_each_column(t, given):
    z, first, one = clustered()
    _, second, other = clustered(23, 8, seed=1)
    weight = torch.rand(23, dtype=F64)
    if given:
        phis = [torch.rand(5, dtype=F64) + 0.5, torch.rand(8, dtype=F64) + 0.5]
    else:
        phis = [dense_concentration(z, first, one), dense_concentration(z, second, other)]
    terms = (dense(z, first, one, phis[0], t) + dense(z, second, other, phis[1], t)) / 2
    got = ProtoNCE(t)(z, [first, second], torch.stack([one, other], 1), concentrations=phis if given else None, weight=weight)
    torch.testing.assert_close(got, (weight * terms).sum() / weight.sum())
    single = ProtoNCE(t)(z, first, one, concentrations=phis[0])
    torch.testing.assert_close(single, dense(z, first, one, phis[0], t).mean())


def test_equal_and_whole_weights_are_means_and_repeated_rows():
    z, centres, assignment = clustered()
    phi = torch.rand(5) + 0.5
    loss, times = ProtoNCE(), torch.randint(3, (23,))
    plain = loss(z, centres, assignment, concentrations=phi)
    torch.testing.assert_close(loss(z, centres, assignment, concentrations=phi, weight=torch.full((23,), 7.0)), plain)
    repeated = loss(z.repeat_interleave(times, 0), centres, assignment.repeat_interleave(times), concentrations=phi)
    torch.testing.assert_close(loss(z, centres, assignment, concentrations=phi, weight=times), repeated)


def test_the_order_of_rows_rotations_and_lengths_do_not_matter():
    z, centres, assignment = clustered()
    want, order = ProtoNCE()(z, centres, assignment), torch.randperm(23)
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=F64)).Q
    torch.testing.assert_close(ProtoNCE()(2 * z[order] @ turn, 3 * centres @ turn, assignment[order]), want)


def test_gradients_are_right_and_centres_are_constants():
    z, centres, assignment = clustered(6, 3)
    phi = torch.rand(3, dtype=F64) + 0.5
    inputs = (z.requires_grad_(), torch.rand(6, dtype=F64, requires_grad=True))
    loss = ProtoNCE(0.5)
    assert gradcheck(lambda z, w: loss(z, centres, assignment, concentrations=phi, weight=w), inputs)
    centres.requires_grad_()
    loss(z, centres, assignment).backward()
    assert centres.grad is None
    assert z.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_lower_precision_stays_close(dtype):
    z, centres, assignment = clustered(40, 6, 8)
    low = ProtoNCE(0.2)(z.to(dtype), centres.to(dtype), assignment)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low.double(), ProtoNCE(0.2)(z, centres, assignment), rtol=2e-2, atol=0)


def test_arguments_that_make_no_sense_are_named():
    z, centres, assignment = clustered()
    loss = ProtoNCE()
    with pytest.raises(InputError, match=r"assignment must be \(23, 1\).*got \(9,\). Is it that of all rows"):
        loss(z, centres, assignment[:9])
    with pytest.raises(InputError, match=r"assignment must be \(23, 2\).*got \(23,\)"):
        loss(z, [centres, centres], assignment)
    with pytest.raises(InputError, match=r"assignment must lie in 0 \.\. 4, one of the centres; got 1 \.\. 5"):
        loss(z, centres, assignment + 1)
    with pytest.raises(InputError, match=r"integers, a cluster for each row.*For soft assignments: \.argmax"):
        loss(z, centres, assignment.double())
    with pytest.raises(InputError, match=r"centres must be \(K, 4\) with K >= 2, as wide as the embeddings; got \(1, 4\)"):
        loss(z, centres[:1], torch.zeros(23, dtype=torch.int64))
    with pytest.raises(InputError, match=r"centres must be .* got \(5, 3\)"):
        loss(z, centres[:, :3], assignment)
    with pytest.raises(InputError, match="centre 0 has a value that is not finite: the mean of an empty cluster"):
        loss(z, centres / 0, assignment)
    with pytest.raises(InputError, match=r"concentrations must be \(5,\) positive numbers"):
        loss(z, centres, assignment, concentrations=torch.zeros(5))
    with pytest.raises(InputError, match="concentrations for each of 1 clusterings; got 2"):
        loss(z, centres, assignment, concentrations=[torch.ones(5)] * 2)
    with pytest.raises(InputError, match=r"weight must be \(23,\)"):
        loss(z, centres, assignment, weight=torch.ones(5))
    with pytest.raises(InputError, match="alpha must be >= 0"):
        ProtoNCE(alpha=-1.0)
    with pytest.raises(InputError, match="alpha must be >= 0"):
        concentration(z, centres, assignment, alpha=math.nan)
    with pytest.raises(InputError, match="temperature must be > 0"):
        ProtoNCE(0.0)


def test_it_prints_what_it_is():
    assert repr(ProtoNCE()) == "ProtoNCE(temperature=0.1, alpha=10)"
