from collections import Counter

import numpy as np
import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.sequences import PrefixRows, sequence_split


def as_sets(rows, listed):
    histories = listed(rows.history(torch.arange(rows.num_rows)))
    return sorted(zip(rows.user.tolist(), map(tuple, histories), rows.target.tolist(), strict=True))


def segments(items, longest):
    """The published segmentation: prefixes, and windows where a row is too long for them; the last two of each are held out."""
    count = len(items)
    if count <= longest + 3:
        parts = [items[:end] for end in range(4, count + 1)]
    else:
        parts = [items[:end] for end in range(4, longest + 3)]
        parts += [items[start : start + longest + 3] for start in range(count - longest - 2)]
    return [(tuple(part[:-3]), part[-3]) for part in parts]


@pytest.mark.parametrize("count", range(4, 61))
def test_rows_are_the_published_segments(count, sequences, events, listed):
    items = list(range(count))
    split = sequence_split(events([(0, item) for item in items]))
    rows = PrefixRows(split.train, 5)
    found = [(history, target) for _, history, target in as_sets(rows, listed)]
    assert sorted(found) == sorted(segments(items, 5))
    assert max(rows.target.tolist()) < count - 2  # the last two are held out


def test_rows_are_what_was_before_each_event(sequences, listed):
    rows = PrefixRows(sequences([[3, 1, 3, 2], [5], [], [4, 4]]), 2)
    assert rows.num_rows == 4
    assert as_sets(rows, listed) == [(0, (1, 3), 2), (0, (3,), 1), (0, (3, 1), 3), (3, (4,), 4)]
    assert listed(rows.history(torch.tensor([3, 0, 3]))) == [[4], [3], [4]]


def test_histories_are_copies(sequences):
    source = sequences([[0, 1, 2]])
    rows = PrefixRows(source, 9)
    rows.history(torch.arange(2)).values.fill_(7)
    assert source.values.tolist() == [0, 1, 2]
    assert rows.history(torch.tensor([1])).values.tolist() == [0, 1]


def test_nothing_held_out_is_in_a_row(events):
    rng = np.random.default_rng(0)
    log = [(int(user), number, int(rng.integers(100))) for number, user in enumerate(rng.integers(0, 8, 300))]
    for how in ("leave-one-out", "temporal"):
        split = sequence_split(events(log), how=how)
        rows = PrefixRows(split.train, 4)
        seen = {*rows.target.tolist(), *rows.history(torch.arange(rows.num_rows)).values.tolist()}
        assert seen <= set(split.train.values.tolist())
        assert not seen & {*split.valid.values.tolist(), *split.test.values.tolist()}


def test_another_row_of_the_target_is_drawn_uniformly(sequences):
    rows = PrefixRows(sequences([[0, 9, 9], [1, 9, 8], [2, 9], [3, 7]]), 5)
    assert rows.target.tolist() == [9, 9, 9, 8, 9, 7]
    draws, generator = 3000, torch.Generator().manual_seed(0)
    for row in range(rows.num_rows):
        found = Counter(rows.same_target(torch.full((draws,), row), generator).tolist())
        others = [other for other in (0, 1, 2, 4) if other != row] if rows.target[row] == 9 else [row]
        assert sorted(found) == others
        wanted = draws / len(others)
        chi_square = sum((count - wanted) ** 2 / wanted for count in found.values())
        assert chi_square < 13.8  # one in a thousand, for three kinds


def test_draws_follow_the_generator(sequences):
    rows = PrefixRows(sequences([[0, 1]] * 50), 5)
    draw = [rows.same_target(torch.arange(50), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draw[0], draw[1])
    assert not torch.equal(draw[0], draw[2])


def test_bad_input_is_told(sequences):
    with pytest.raises(InputError, match="max_length must be 1 or more; got 0"):
        PrefixRows(sequences([[0, 1]]), 0)
    with pytest.raises(InputError, match="expected users with at least 2 training events, the longest has 1"):
        PrefixRows(sequences([[0], []]), 5)
    rows = PrefixRows(sequences([[0, 1]]), 5)
    for ask in (rows.history, rows.same_target):
        with pytest.raises(InputError, match=r"rows must lie in \[0, 1\); got 1 to 1"):
            ask(torch.tensor([1]))
