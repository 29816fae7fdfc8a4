from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from graphcl.errors import InputError
from graphcl.recsys.anchors import EASE, GFCF, IALS, ItemKNN
from graphcl.recsys.anchors.history import HistoryModel
from graphcl.recsys.ranking import Rows, fingerprint

TRAIN = Rows(np.array([0, 2, 2, 3]), np.array([0, 2, 1], dtype=np.int32), 3, 3)
WEIGHTS = np.array([[0, 1, 2], [3, 0, 4], [5, 6, 0]], dtype=np.float32)


class Dense(HistoryModel):
    def weights(self, histories):
        return WEIGHTS


class Sparse(HistoryModel):
    def weights(self, histories):
        return sp.csr_matrix(WEIGHTS)


@pytest.mark.parametrize("kind", [Dense, Sparse])
def test_a_score_is_the_sum_over_the_history(kind):
    model = kind().fit(TRAIN)
    scores = model.score(torch.tensor([2, 0, 1]))
    assert scores.tolist() == [[3, 0, 4], [5, 7, 2], [0, 0, 0]]
    assert scores.dtype == torch.float32
    assert model.trained_on == fingerprint(TRAIN)


@pytest.mark.parametrize("kind", [Dense, Sparse, lambda: EASE(5.0), lambda: ItemKNN(4), lambda: GFCF(rank=2), lambda: IALS(2)])
def test_a_history_is_scored_whoever_it_belongs_to(kind):
    model = kind().fit(TRAIN)
    known = model.score(torch.arange(3))
    torch.testing.assert_close(model.score_histories(TRAIN), known, rtol=1e-4, atol=1e-6)
    others = Rows(np.array([0, 1, 1, 3, 6]), np.array([1, 0, 2, 0, 1, 2], dtype=np.int32), 4, 3)
    scores = model.score_histories(others)
    torch.testing.assert_close(scores[:3], known[[2, 1, 0]], rtol=1e-4, atol=1e-6)
    assert scores.dtype == torch.float32
    assert scores.shape == (4, 3)
    assert model.score_histories(Rows(np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int32), 0, 3)).shape == (0, 3)


def test_bad_input_is_told():
    with pytest.raises(InputError, match="Dense has learnt nothing yet: call fit"):
        Dense().score(torch.tensor([0]))
    with pytest.raises(InputError, match="Dense has learnt nothing yet: call fit"):
        Dense().score_histories(TRAIN)
    with pytest.raises(InputError, match="histories must be over the 3 items of training; got 4"):
        Dense().fit(TRAIN).score_histories(Rows(np.array([0, 1]), np.array([3], dtype=np.int32), 1, 4))
    with pytest.raises(InputError, match="histories: the items of a user must rise"):
        Dense().fit(TRAIN).score_histories(Rows(np.array([0, 2]), np.array([2, 1], dtype=np.int32), 1, 3))
    with pytest.raises(InputError, match=r"users must lie in \[0, 3\); got 3 to 3"):
        Dense().fit(TRAIN).score(torch.tensor([3]))
    with pytest.raises(InputError, match="train is empty"):
        Dense().fit(Rows(np.zeros(2, dtype=np.int64), np.zeros(0, dtype=np.int32), 1, 3))
