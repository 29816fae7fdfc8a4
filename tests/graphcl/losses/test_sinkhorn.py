import math

import pytest
import torch

from graphcl.errors import InputError
from graphcl.losses.sinkhorn import sinkhorn

F64 = torch.float64


def scores(n, k, seed=0):
    return 2 * torch.rand(n, k, dtype=F64, generator=torch.Generator().manual_seed(seed)) - 1


@pytest.mark.parametrize(("n", "k"), [(1, 1), (2, 5), (7, 3), (31, 31)])
@pytest.mark.parametrize("epsilon", [0.05, 0.5])
def test_marginals_hold_after_many_sweeps(n, k, epsilon):
    plan, error = sinkhorn(scores(n, k), epsilon, 3000)
    assert error <= 1e-6
    torch.testing.assert_close(plan.sum(1), torch.full((n,), 1 / n, dtype=F64), atol=1e-6, rtol=0)
    torch.testing.assert_close(plan.sum(0), torch.full((k,), 1 / k, dtype=F64), atol=1e-6, rtol=0)


def test_given_marginals_hold_and_an_empty_one_gets_nothing():
    rows, columns = torch.tensor([0.2, 0.5, 0.3], dtype=F64), torch.tensor([0.6, 0.0, 0.1, 0.3], dtype=F64)
    plan, error = sinkhorn(scores(3, 4), 0.2, 500, rows=rows, columns=columns)
    torch.testing.assert_close(plan.sum(1), rows)
    torch.testing.assert_close(plan.sum(0), columns)
    assert (plan[:, 1] == 0).all()
    assert error <= 1e-9


def test_it_is_the_plain_scaling_of_the_exponential():
    s = scores(6, 4)
    q = (s / 0.3).exp()
    for _ in range(3):
        q = q / q.sum(0) / 4
        q = q / q.sum(1, keepdim=True) / 6
    plan, error = sinkhorn(s, 0.3, 3)
    torch.testing.assert_close(plan, q)
    torch.testing.assert_close(error, (q.sum(0) - 0.25).abs().sum())


def test_the_logarithm_of_the_plan_is_the_scores_plus_a_row_and_a_column_part():
    s = scores(5, 4)
    rest = sinkhorn(s, 0.3, 7)[0].log() - s / 0.3
    torch.testing.assert_close(rest - rest[:1] - rest[:, :1] + rest[0, 0], torch.zeros(5, 4, dtype=F64))


def test_symmetric_scores_give_a_symmetric_plan():
    s = scores(6, 6)
    plan, _ = sinkhorn(s + s.T, 0.5, 2000)
    torch.testing.assert_close(plan, plan.T)


def test_much_entropy_leads_to_the_product_and_little_to_the_best_matching():
    rows = torch.tensor([0.2, 0.5, 0.3], dtype=F64)
    plan, _ = sinkhorn(scores(3, 4), 1e9, 5, rows=rows)
    torch.testing.assert_close(plan, rows[:, None].expand(3, 4) / 4)
    plan, _ = sinkhorn(torch.eye(4, dtype=F64)[[2, 0, 3, 1]], 0.01, 50)
    torch.testing.assert_close(plan, torch.eye(4, dtype=F64)[[2, 0, 3, 1]] / 4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, F64])
def test_extreme_scores_stay_finite_in_every_precision(dtype):
    plan, error = sinkhorn((1e4 * scores(5, 3)).to(dtype), 0.05, 10)
    assert plan.dtype == (F64 if dtype == F64 else torch.float32)
    assert torch.isfinite(plan).all()
    assert torch.isfinite(error)
    low, _ = sinkhorn(scores(5, 3).to(dtype), 0.5, 10)
    torch.testing.assert_close(low.double(), sinkhorn(scores(5, 3), 0.5, 10)[0], rtol=2e-2, atol=0)


def test_shifts_of_rows_and_columns_and_reordering_change_nothing():
    s, order, kinds = scores(6, 4), torch.randperm(6), torch.randperm(4)
    want, _ = sinkhorn(s, 0.2, 4)
    torch.testing.assert_close(sinkhorn(s + 5, 0.2, 4)[0], want)
    torch.testing.assert_close(sinkhorn(s + torch.arange(4), 0.2, 4)[0], want)
    torch.testing.assert_close(sinkhorn(s[order][:, kinds], 0.2, 4)[0], want[order][:, kinds])


def test_a_tolerance_ends_the_sweeps_early():
    _, early = sinkhorn(scores(9, 4), 0.2, 1000, tolerance=1e-2)
    assert 1e-6 < early <= 1e-2
    _, late = sinkhorn(scores(9, 4), 0.2, 1000)
    assert late < 1e-12


def test_there_is_no_gradient():
    plan, error = sinkhorn(scores(3, 3).requires_grad_())
    assert not plan.requires_grad
    assert not error.requires_grad


def test_messages():
    s = scores(3, 4)
    for bad in (s[0], s[:0], torch.ones(3, 4, dtype=torch.int64)):
        with pytest.raises(InputError, match="scores must be a floating"):
            sinkhorn(bad)
    for epsilon in (0.0, -1.0, math.nan):
        with pytest.raises(InputError, match="epsilon must be > 0"):
            sinkhorn(s, epsilon)
    with pytest.raises(InputError, match="iterations must be >= 1"):
        sinkhorn(s, iterations=0)
    with pytest.raises(InputError, match="low score, not -inf"):
        sinkhorn(s.clone().fill_(-torch.inf))
    with pytest.raises(InputError, match="rows must be a vector of length 3"):
        sinkhorn(s, rows=torch.ones(4) / 4)
    with pytest.raises(InputError, match=r"columns must be >= 0 and sum to 1; got sum 4"):
        sinkhorn(s, columns=torch.ones(4))
    with pytest.raises(InputError, match="rows must be >= 0"):
        sinkhorn(s, rows=torch.tensor([2.0, -1.0, 0.0]))
