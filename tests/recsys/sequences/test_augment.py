from collections import Counter
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphcl.errors import InputError
from graphcl.recsys.sequences import Jagged, crop, insert, mask, reorder, substitute, two_views

MASK = 1000
NEIGHBOUR = torch.arange(100) + 100
OPERATORS = {
    "crop": lambda rows, generator: crop(rows, 0.6, generator),
    "mask": lambda rows, generator: mask(rows, 0.3, MASK, generator),
    "reorder": lambda rows, generator: reorder(rows, 0.6, generator),
    "substitute": lambda rows, generator: substitute(rows, 0.3, NEIGHBOUR, generator),
    "insert": lambda rows, generator: insert(rows, 0.3, NEIGHBOUR, generator),
}
LISTS = st.lists(st.lists(st.integers(0, 99), max_size=12), min_size=1, max_size=6)
SHARES = st.sampled_from([0.01, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0])


def listed(data):
    return [part.tolist() for part in torch.split(data.values, data.lengths.tolist())]


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def share(number, count):
    return int(number * count + 1e-9)


def numbers(count, rows=1):
    return Jagged.of([list(range(count))] * rows)


@given(LISTS, SHARES, st.integers(0, 99))
def test_a_crop_is_a_run_of_neighbours(lists, eta, seed):
    for row, view in zip(lists, listed(crop(Jagged.of(lists), eta, seeded(seed))), strict=True):
        assert len(view) == min(max(share(eta, len(row)), 1), len(row))
        assert any(row[start : start + len(view)] == view for start in range(len(row) + 1))


@given(LISTS, SHARES, st.integers(0, 99))
def test_a_mask_covers_its_share_and_nothing_else(lists, gamma, seed):
    for row, view in zip(lists, listed(mask(Jagged.of(lists), gamma, MASK, seeded(seed))), strict=True):
        assert view.count(MASK) == share(gamma, len(row))
        assert all(after in (MASK, before) for before, after in zip(row, view, strict=True))


@given(LISTS, SHARES, st.integers(0, 99))
def test_reordering_stays_within_a_block(lists, beta, seed):
    for row, view in zip(lists, listed(reorder(Jagged.of(lists), beta, seeded(seed))), strict=True):
        assert sorted(view) == sorted(row)
        moved = [place for place, (before, after) in enumerate(zip(row, view, strict=True)) if before != after]
        assert not moved or moved[-1] - moved[0] < share(beta, len(row))


@given(LISTS, SHARES, st.integers(0, 99))
def test_substitutes_and_newcomers_are_neighbours_of_their_items(lists, rho, seed):
    rows = Jagged.of(lists)
    for row, view in zip(lists, listed(substitute(rows, rho, NEIGHBOUR, seeded(seed))), strict=True):
        changed = [after - before for before, after in zip(row, view, strict=True) if after != before]
        assert changed == [100] * min(max(share(rho, len(row)), 1), len(row))
    for row, view in zip(lists, listed(insert(rows, rho, NEIGHBOUR, seeded(seed))), strict=True):
        assert [item for item in view if item < 100] == row
        new = [place for place, item in enumerate(view) if item >= 100]
        assert len(new) == min(max(share(rho, len(row)), 1), len(row))
        assert all(view[place] == view[place + 1] + 100 for place in new)


def test_items_without_a_neighbour_stay_as_they_are():
    alone = torch.tensor([5, -1, -1])
    rows = Jagged.of([[1, 2, 1], [0, 1]])
    assert listed(substitute(rows, 1.0, alone)) == [[1, 2, 1], [5, 1]]
    assert listed(insert(rows, 1.0, alone)) == [[1, 2, 1], [5, 0, 1]]


@pytest.mark.parametrize("name", OPERATORS)
def test_a_view_has_an_item_and_leaves_its_input(name):
    rows = Jagged.of([[7], [], [1, 2], list(range(50)), [3, 3, 3]])
    values, indptr = rows.values.clone(), rows.indptr.clone()
    first = OPERATORS[name](rows, seeded(1))
    assert first.lengths.gt(0).tolist() == [True, False, True, True, True]
    assert first.indptr[-1] == len(first.values)
    again, other = OPERATORS[name](rows, seeded(1)), OPERATORS[name](rows, seeded(2))
    assert listed(first) == listed(again)
    assert listed(first) != listed(other)
    first.values.fill_(-7)
    assert torch.equal(rows.values, values)
    assert torch.equal(rows.indptr, indptr)
    assert OPERATORS[name](Jagged.of([]), None).num_rows == 0


def test_places_are_drawn_uniformly():
    draws = 4000
    starts = Counter(view[0] for view in listed(crop(numbers(5, draws), 0.4, seeded(0))))
    assert sorted(starts) == [0, 1, 2, 3]
    assert all(abs(count - 1000) < 5 * 750**0.5 for count in starts.values())
    masked = mask(numbers(5, draws), 0.4, MASK, seeded(1)).values.view(draws, 5) == MASK
    assert (masked.sum(0) - 1600).abs().max() < 5 * 960**0.5
    orders = Counter(tuple(view) for view in listed(reorder(numbers(3, draws), 1.0, seeded(2))))
    assert len(orders) == 6
    assert all(abs(count - draws / 6) < 5 * 556**0.5 for count in orders.values())
    blocks = reorder(numbers(6, draws), 0.34, seeded(3)).values.view(draws, 6)  # two neighbours change places, or none do
    swapped = (blocks != torch.arange(6)).float().argmax(1)[(blocks != torch.arange(6)).any(1)].bincount(minlength=5)
    assert (swapped - draws / 10).abs().max() < 5 * 360**0.5


def test_the_views_of_a_row_are_by_different_operators():
    marks = [lambda rows, _, number=number: rows._replace(values=rows.values + number) for number in (10, 20, 30)]
    rows = Jagged.of([[1, 2]] * 3000 + [[]])
    first, second = two_views(rows, marks, seeded(0))
    assert torch.equal(first.indptr, rows.indptr)
    pairs = Counter(zip(first.values[::2].tolist(), second.values[1::2].tolist(), strict=True))
    assert sorted(pairs) == [(a + 1, b + 2) for a in (10, 20, 30) for b in (10, 20, 30) if a != b]
    assert all(abs(count - 500) < 5 * 417**0.5 for count in pairs.values())
    # A whole row is by one operator.
    assert torch.equal(first.values[1::2], first.values[::2] + 1)


@given(LISTS, st.integers(0, 99))
def test_views_belong_to_their_rows(lists, seed):
    rows = Jagged.of(lists)
    values = rows.values.clone()
    for view in two_views(rows, [OPERATORS["crop"], OPERATORS["reorder"]], seeded(seed)):
        for row, found in zip(lists, listed(view), strict=True):
            assert not Counter(found) - Counter(row)
            assert bool(found) == bool(row)
    assert torch.equal(rows.values, values)


def test_bad_input_is_told():
    rows = numbers(4)
    for name, call in (("eta", crop), ("gamma", partial(mask, mask_id=9)), ("beta", reorder)):
        for wrong in (0.0, 1.5):
            with pytest.raises(InputError, match=rf"{name} must lie in \(0, 1\]; got {wrong}"):
                call(rows, **{name: wrong})
    for call in (substitute, insert):
        with pytest.raises(InputError, match=r"rho must lie in \(0, 1\]; got -1"):
            call(rows, -1, NEIGHBOUR)
        with pytest.raises(InputError, match=r"items must lie in \[0, 2\), as neighbour is long; got 0 to 3"):
            call(rows, 0.5, NEIGHBOUR[:2])
    with pytest.raises(InputError, match="two different views take two operators or more; got 1"):
        two_views(rows, [OPERATORS["crop"]])
