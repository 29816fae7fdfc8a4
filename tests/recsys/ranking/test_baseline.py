from __future__ import annotations

import numpy as np
import pytest
import torch

from graphcl.recsys.ranking.baseline import popular_lists
from graphcl.recsys.ranking.rows import Rows, popularity
from graphcl.recsys.ranking.top_k import top_k


@pytest.mark.parametrize("k", [1, 2, 9])
def test_the_lists_are_those_of_ranking_by_popularity(k, monkeypatch):
    monkeypatch.setattr("graphcl.recsys.ranking.baseline.USERS", 7)
    rng = np.random.default_rng(k)
    sizes = rng.integers(0, 41, size=31)  # up to the whole catalogue, so that heads double and lists stay short
    items = [np.sort(rng.choice(40, size=size, replace=False)) for size in sizes]
    rows = Rows(np.concatenate([[0], np.cumsum(sizes)]), np.concatenate(items).astype(np.int32), 31, 40)
    counts, users, candidates = popularity(rows), rng.permutation(31), np.flatnonzero(np.arange(40) % 5)
    scores = torch.from_numpy(counts).double()
    for seen in (rows, None):
        want = top_k(lambda u: scores.expand(len(u), -1), users, k, seen=seen, candidates=candidates)
        np.testing.assert_array_equal(popular_lists(counts, users, k, seen, candidates), want.items.numpy())
