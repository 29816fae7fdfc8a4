from __future__ import annotations

import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.systems.sequential import margin
from graphcl.recsys.systems.sequential.margin import margin_penalty


def views(n, dim=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, dim, dtype=torch.float64, generator=generator).requires_grad_() for _ in range(2)]


def of_gram(gram):
    """Rows whose inner products are given; the two halves are the two views."""
    return torch.linalg.cholesky(torch.tensor(gram, dtype=torch.float64)).chunk(2)


def dense(first, second, form):
    """Thresholds, differences and means written out over all pairs."""
    total = 2 * len(first)
    rows = torch.cat([first, second])
    logits = rows @ rows.T
    mate = (torch.arange(total) + len(first)) % total
    positive = logits[torch.arange(total), mate]
    negative = torch.stack(
        [torch.stack([logits[r, k] for k in range(total) if k not in (r, int(mate[r]))]) for r in range(total)]
    )
    if form == "rows":
        low = torch.minimum(positive, negative.amax(1))[:, None]
        high = torch.maximum(positive, negative.amax(1))[:, None]
    else:
        low = torch.minimum(positive.min(), negative.max())
        high = torch.maximum(positive.min(), negative.max())
    return (positive[:, None] - low).relu().mean() + (high - negative).relu().mean()


@pytest.mark.parametrize("form", ["rows", "sets"])
@pytest.mark.parametrize("n", [2, 3, 11])
def test_value_and_gradient_are_those_of_all_pairs(form, n):
    got, want = views(n), views(n)
    value, expected = margin_penalty(*got, form=form), dense(*want, form)
    torch.testing.assert_close(value, expected)
    for one, other in zip(torch.autograd.grad(value, got), torch.autograd.grad(expected, want), strict=True):
        torch.testing.assert_close(one, other)


def test_a_case_by_hand():
    # Every row: positive 3, negatives 1 and 2, so 3 - 2 and the mean of 3 - 1 and 3 - 2.
    first, second = of_gram([[9.0, 1, 3, 2], [1, 9, 2, 3], [3, 2, 9, 1], [2, 3, 1, 9]])
    torch.testing.assert_close(margin_penalty(first, second), torch.tensor(2.5, dtype=torch.float64))
    torch.testing.assert_close(margin_penalty(first, second, form="sets"), torch.tensor(2.5, dtype=torch.float64))


@pytest.mark.parametrize("form", ["rows", "sets"])
def test_it_is_0_where_all_negatives_are_equal_and_no_positive_exceeds_them(form):
    def value(positive, first=2.0, second=2.0):
        gram = [
            [9, first, positive, second],
            [first, 9, second, positive],
            [positive, second, 9, first],
            [second, positive, first, 9],
        ]
        return float(margin_penalty(*of_gram(gram), form=form))

    assert value(2.0) == pytest.approx(0, abs=1e-12)
    if form == "rows":
        assert value(1.0) == pytest.approx(0, abs=1e-12)
    assert value(2.1) > 0.1
    assert value(2.0, first=1.9) > 0.04
    assert value(1.0, second=2.1) > 0.04


@pytest.mark.parametrize("form", ["rows", "sets"])
def test_order_of_rows_and_views_does_not_matter(form):
    first, second = views(9)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    want = margin_penalty(first, second, form=form)
    torch.testing.assert_close(margin_penalty(second[order], first[order], form=form), want)


def test_blocks_of_rows_do_not_matter(monkeypatch):
    first, second = views(30)
    want = margin_penalty(first, second)
    monkeypatch.setattr(margin, "_CELLS", 7 * 60)
    torch.testing.assert_close(margin_penalty(first, second), want, rtol=1e-14, atol=0)


def test_half_precision_is_computed_with_in_single():
    first, second = (view.detach().half() for view in views(6))
    got = margin_penalty(first, second)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, margin_penalty(first.float(), second.float()))


def test_what_cannot_be_compared_is_told():
    first, second = views(4)
    with pytest.raises(InputError, match="unknown form of the margin penalty 'row'"):
        margin_penalty(first, second, form="row")
    with pytest.raises(InputError, match="equal N and D"):
        margin_penalty(first, second[:3])
    with pytest.raises(InputError, match="at least 2 rows"):
        margin_penalty(first[:1], second[:1])
