from __future__ import annotations

import numpy as np
import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.graph import item_graph
from graphcl.recsys.graph.item_graph import nearest_items
from graphcl.recsys.ranking import Rows


def rows_of(dense):
    indptr = np.concatenate([[0], np.cumsum(dense.sum(1))]).astype(np.int64)
    return Rows(indptr, np.nonzero(dense)[1].astype(np.int32), *dense.shape)


def random_block(users, items, share=0.2, seed=0):
    return np.random.default_rng(seed).random((users, items)) < share


def dense_weights(block):
    """The weights of all pairs, written out; nothing on the diagonal."""
    both = block.astype(float).T @ block.astype(float)
    np.fill_diagonal(both, 0)
    g = both.sum(1)
    left = np.where(g > 0, np.sqrt(g + 1) / np.maximum(g, 1), 0)
    return both * left[:, None] / np.sqrt(g + 1)


@pytest.mark.parametrize("block", [1, 7, 200, 2**22])
@pytest.mark.parametrize(("users", "items", "neighbours"), [(1, 1, 1), (3, 2, 4), (40, 31, 5), (13, 60, 10)])
def test_neighbours_are_the_heaviest_of_the_whole_matrix_whatever_the_blocks(users, items, neighbours, block, monkeypatch):
    monkeypatch.setattr(item_graph, "BLOCK", block)
    dense = random_block(users, items) | (np.arange(users)[:, None] == 0)
    found = nearest_items(rows_of(dense), neighbours)
    want = dense_weights(dense)
    assert found.items.shape == found.weights.shape == (items, neighbours)
    for item in range(items):
        order = np.lexsort((np.arange(items), -want[item]))[:neighbours]
        order = order[want[item, order] > 0]
        assert found.items[item, : len(order)].tolist() == order.tolist()
        np.testing.assert_allclose(found.weights[item, : len(order)], want[item, order])
        assert not found.weights[item, len(order) :].any()
        assert not found.items[item, len(order) :].any()


def test_an_item_is_never_its_own_neighbour():
    # Item 0 has many users and company in one of them only: with the diagonal it would be its own first neighbour.
    dense = np.zeros((30, 4), dtype=bool)
    dense[:, 0] = True
    dense[0, 1:] = True
    found = nearest_items(rows_of(dense), 4)
    kept = found.weights > 0
    assert not (kept & (found.items == torch.arange(4)[:, None])).any()
    assert found.items[0].tolist() == [1, 2, 3, 0]
    assert kept.sum(1).tolist() == [3, 3, 3, 3]


def test_of_equal_weights_the_lower_item_comes_first():
    found = nearest_items(rows_of(np.ones((3, 6), dtype=bool)), 2)
    assert found.items.tolist() == [[1, 2], [0, 2], [0, 1], [0, 1], [0, 1], [0, 1]]


def test_items_without_company_have_no_neighbours():
    dense = np.array([[1, 0, 0, 0], [0, 0, 1, 1]], dtype=bool)  # item 0 alone with its user, item 1 without any
    found = nearest_items(rows_of(dense), 3)
    assert not found.weights[:2].any()
    assert bool(torch.isfinite(found.weights).all())
    torch.testing.assert_close(found.weights[2:, 0], torch.ones(2, dtype=torch.float64))
    assert found.items[2:, 0].tolist() == [3, 2]


def test_new_numbers_for_the_items_renumber_the_neighbours():
    dense = random_block(25, 12, 0.3)
    order = np.random.default_rng(1).permutation(12)
    whole, moved = nearest_items(rows_of(dense), 12), nearest_items(rows_of(dense[:, order]), 12)

    def written_out(found):
        return torch.zeros(12, 12, dtype=torch.float64).scatter_add_(1, found.items, found.weights)

    torch.testing.assert_close(written_out(moved), written_out(whole)[order][:, order])


def test_no_neighbour_asked_for_is_refused():
    with pytest.raises(InputError, match="neighbours must be >= 1; got 0"):
        nearest_items(rows_of(np.ones((2, 2), dtype=bool)), 0)
