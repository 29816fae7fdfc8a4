from __future__ import annotations

import numpy as np
import torch

from graphcl.recsys.anchors import Popularity
from graphcl.recsys.fitting import Served
from graphcl.recsys.ranking import Embeddings, Rows, fingerprint

TRAIN = Rows(np.array([0, 2, 2, 3]), np.array([0, 1, 1], dtype=np.int32), 3, 4)  # user 1 has nothing, items 2, 3 have nobody


def test_who_has_no_history_gets_popularity_and_unknown_items_are_never_listed():
    torch.manual_seed(0)
    model = Embeddings(torch.randn(3, 5), torch.randn(4, 5))
    before = model.score(torch.tensor([0, 1, 2]))
    served = Served(model, TRAIN).score(torch.tensor([0, 1, 2]))
    assert torch.equal(served[[0, 2], :2], before[[0, 2], :2])
    assert served[1].tolist() == [1.0, 2.0, -torch.inf, -torch.inf]
    assert bool((served[:, 2:] == -torch.inf).all())


def test_the_scores_of_the_model_are_not_written_into():
    model = Popularity().fit(TRAIN)
    Served(model, TRAIN).score(torch.tensor([0, 1]))
    assert model.counts_.tolist() == [1, 2, 0, 0]


def test_nothing_is_copied_where_everybody_is_known():
    train = Rows(np.array([0, 1, 2]), np.array([0, 1], dtype=np.int32), 2, 2)
    scores = torch.randn(2, 2)
    assert Served(lambda users: scores, train).score(torch.tensor([0, 1])) is scores


def test_it_says_what_it_was_trained_on():
    assert Served(lambda users: torch.zeros(len(users), 4), TRAIN).trained_on == fingerprint(TRAIN)


def test_a_history_may_be_longer_than_what_was_learned():
    later = Rows(np.array([0, 2, 3, 3]), np.array([0, 1, 3], dtype=np.int32), 3, 4)
    scores = torch.ones(3, 4)
    served = Served(lambda users: scores.index_select(0, users), TRAIN, later).score(torch.tensor([1, 2]))
    assert served[0].tolist() == [1.0, 1.0, -torch.inf, -torch.inf], "known by an item that training does not know"
    assert served[1].tolist() == [1.0, 2.0, -torch.inf, -torch.inf], "nothing is known: popularity"
