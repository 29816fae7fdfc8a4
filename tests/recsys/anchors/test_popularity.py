from __future__ import annotations

import numpy as np
import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.anchors import Popularity
from graphcl.recsys.ranking import Rows, fingerprint, top_k

TRAIN = Rows(np.array([0, 2, 2, 4]), np.array([1, 3, 0, 3], dtype=np.int32), 3, 5)


def test_items_rank_by_their_users_and_then_by_id():
    model = Popularity().fit(TRAIN)
    assert model.score(torch.tensor([2, 0])).tolist() == [[1, 1, 0, 2, 0]] * 2
    assert model.trained_on == fingerprint(TRAIN)
    assert top_k(model, [0, 1, 2], 3, seen=TRAIN).items.tolist() == [[0, 2, 4], [3, 0, 1], [1, 2, 4]]


def test_it_must_be_fitted_on_rows():
    with pytest.raises(InputError, match="call fit"):
        Popularity().score(torch.tensor([0]))
    with pytest.raises(InputError, match="train: item ids"):
        Popularity().fit(Rows(np.array([0, 1]), np.array([5], dtype=np.int32), 1, 5))
