from __future__ import annotations

import pytest
import torch

from graphcl.recsys.encoders import Layout
from graphcl.recsys.sequences import Jagged

ROWS = [[4, 5, 6], [], [7], [8, 9, 10, 11, 12, 13, 14], [15, 16], [17, 18, 19]]


def test_rows_lie_longest_first_with_ties_as_they_came_and_empty_ones_left_out():
    history = Jagged.of(ROWS)
    layout = Layout.of(history.indptr)
    assert layout.order.tolist() == [3, 0, 5, 4, 2]
    assert layout.lengths.tolist() == [7, 3, 3, 2, 1]
    assert history.values[layout.where].tolist() == [*range(8, 15), 4, 5, 6, 17, 18, 19, 15, 16, 7]
    assert layout.step.tolist() == [*range(7), 0, 1, 2, 0, 1, 2, 0, 1, 0]
    assert layout.from_end.tolist() == [6, 5, 4, 3, 2, 1, 0, 2, 1, 0, 2, 1, 0, 1, 0, 0]
    assert layout.last.tolist() == [6, 9, 12, 14, 15]


def test_back_undoes_the_order():
    history = Jagged.of(ROWS)
    layout = Layout.of(history.indptr)
    assert torch.equal(history.values[layout.where][layout.back()], history.values)


@pytest.mark.parametrize("longest", [1, 2, 7, 50])
def test_buckets_hold_every_position_once_in_blocks_of_fewer_than_two_cells_each(longest):
    lengths = torch.randint(0, longest + 1, (97,), generator=torch.Generator().manual_seed(longest))
    lengths[0] = longest
    layout = Layout.of(Jagged.from_lengths(torch.zeros(int(lengths.sum()), dtype=torch.int64), lengths).indptr)
    ends = [0, *(bucket.positions.stop for bucket in layout.buckets)]
    assert [bucket.positions.start for bucket in layout.buckets] == ends[:-1]
    assert ends[-1] == int(lengths.sum())
    assert [bucket.rows.start for bucket in layout.buckets] == [0, *(bucket.rows.stop for bucket in layout.buckets[:-1])]
    assert len(layout.buckets) <= longest.bit_length()
    for bucket in layout.buckets:
        local = torch.arange(bucket.positions.stop - bucket.positions.start)
        assert len(bucket.padded) < 2 * len(local)
        assert torch.equal(bucket.padded[bucket.real], local)
        row = torch.repeat_interleave(torch.arange(bucket.rows.stop - bucket.rows.start), layout.lengths[bucket.rows])
        assert torch.equal(bucket.real, row * bucket.width + layout.step[bucket.positions])


def test_a_batch_without_an_item_has_no_bucket():
    layout = Layout.of(torch.zeros(4, dtype=torch.int64))
    assert layout.buckets == ()
    assert len(layout.where) == len(layout.back()) == 0
