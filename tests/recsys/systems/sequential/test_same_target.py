from __future__ import annotations

import pytest
import torch
from sequential_systems import sequences_of, some_sequences

from graphcl.recsys.sequences import PrefixRows
from graphcl.recsys.systems.sequential import same_target
from graphcl.recsys.systems.sequential.same_target import last_other


def by_loop(rows):
    history = [rows.history(torch.tensor([row])).values.tolist() for row in range(rows.num_rows)]
    found = []
    for row in range(rows.num_rows):
        found.append(row)
        for other in range(rows.num_rows):
            if rows.target[other] == rows.target[row] and history[other] != history[row]:
                found[-1] = other
    return found


@pytest.mark.parametrize(("items", "length"), [(2, 1), (3, 2), (4, 6), (12, 9)])
def test_it_is_the_last_that_a_loop_over_the_rows_of_the_target_keeps(items, length, monkeypatch):
    monkeypatch.setattr(same_target, "ROWS", 11)
    rows = PrefixRows(some_sequences(30, items), length)
    assert last_other(rows).tolist() == by_loop(rows)


def test_rows_that_all_say_the_same_keep_themselves():
    rows = PrefixRows(sequences_of([[1, 2], [1, 2], [1, 2], [0, 3]]), 5)
    assert last_other(rows).tolist() == [0, 1, 2, 3]
