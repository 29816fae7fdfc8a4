from __future__ import annotations

import numpy as np
import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.ranking.rows import Rows
from graphcl.recsys.ranking.top_k import Embeddings, scores_of, top_k


def rows_of(lists, items):
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in lists])]).astype(np.int64)
    return Rows(indptr, np.array([i for row in lists for i in row], dtype=np.int32), len(lists), items)


def by_hand(scores, user, k, seen=(), candidates=None):
    """Sorted by score, then by id: the definition."""
    allowed = [i for i in range(scores.shape[1]) if i not in seen and (candidates is None or i in candidates)]
    ranked = sorted((i for i in allowed if scores[user, i] > -np.inf), key=lambda i: (-float(scores[user, i]), i))
    tied = len(ranked) > k and scores[user, ranked[k - 1]] == scores[user, ranked[k]]
    return (ranked[:k] + [-1] * k)[:k], tied


@pytest.mark.parametrize("levels", [2, 5, 10_000])
@pytest.mark.parametrize("chunk", [1, 4, 7, 12, 13, None])
@pytest.mark.parametrize("k", [1, 3, 11, 30])
def test_lists_are_those_of_a_sort_by_score_and_id(levels, chunk, k):
    rng = np.random.default_rng(levels + k)
    scores = torch.from_numpy(rng.integers(0, levels, size=(13, 17)).astype(np.float32))
    scores[3, 2:9] = -torch.inf
    seen = [sorted(rng.choice(17, size=size, replace=False)) for size in rng.integers(0, 17, size=13)]
    candidates = [0, 1, 3, 4, 5, 8, 9, 10, 11, 12, 13, 16]
    users = rng.permutation(13)
    result = top_k(lambda u: scores[u], users, k, seen=rows_of(seen, 17), candidates=candidates, chunk=chunk)
    want = [by_hand(scores, user, k, seen[user], candidates) for user in users]
    assert result.items.tolist() == [items for items, _ in want]
    assert result.tied.tolist() == [tied for _, tied in want]
    assert result.num_ties == sum(tied for _, tied in want)
    assert result.items.dtype == torch.int32
    assert result.users.tolist() == users.tolist()
    there = result.items >= 0
    assert (result.scores[~there] == -torch.inf).all()
    chosen = scores[torch.from_numpy(users)].gather(1, result.items.clamp(min=0).long())
    assert torch.equal(result.scores[there], chosen[there])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_embeddings_are_ranked_by_inner_product_and_bias(dtype):
    torch.manual_seed(0)
    users, items, bias = (torch.randn(*shape).to(dtype) for shape in ((5, 4), (11, 4), (11,)))
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    scores = (users.to(wide) @ items.to(wide).T + bias.to(wide)).numpy()
    result = top_k((users, items, bias), [4, 0, 2], 6)
    assert result.items.tolist() == [by_hand(scores, user, 6)[0] for user in (4, 0, 2)]
    assert result.scores.dtype == wide
    assert torch.equal(result.items, top_k(Embeddings(users, items, bias), [4, 0, 2], 6).items)


def test_equal_scores_for_all_give_the_order_of_ids():
    result = top_k((torch.zeros(2, 3), torch.zeros(9, 3)), [0, 1], 4, seen=rows_of([[0, 2], []], 9))
    assert result.items.tolist() == [[1, 3, 4, 5], [0, 1, 2, 3]]
    assert result.num_ties == 2


def test_a_scorer_keeps_its_own_scores():
    scores = torch.arange(12.0).view(2, 6)
    for call in (lambda u: scores[: len(u)], lambda u: scores[:1].expand(len(u), -1)):
        top_k(call, [0, 1], 2, seen=rows_of([[5], [4, 5]], 6), candidates=[0, 4, 5])
    assert torch.equal(scores, torch.arange(12.0).view(2, 6))


def test_a_model_with_score_serves_and_no_user_is_no_error():
    class Model:
        def score(self, users):
            return -torch.arange(4.0).expand(len(users), 4)

    assert top_k(Model(), [7], 2).items.tolist() == [[0, 1]]
    assert top_k(Model(), np.zeros(0, dtype=np.int64), 2).items.shape == (0, 2)
    assert scores_of(Model())(torch.zeros(1)).shape == (1, 4)


def test_scores_that_are_no_numbers_are_refused_wherever_they_stand():
    for bad in (torch.nan, torch.inf):
        scores = torch.zeros(5, 30)
        scores[3, 17] = bad
        with pytest.raises(InputError, match="got NaN or"):
            top_k(lambda u, s=scores: s[u], range(5), 2, chunk=2)
    with pytest.raises(InputError, match="items must be finite"):
        top_k((torch.zeros(2, 1), torch.tensor([[torch.nan]])), [0], 1)


def test_bad_requests_are_told_what_is_wrong():
    good = (torch.zeros(3, 2), torch.zeros(4, 2))
    with pytest.raises(InputError, match="k and chunk must be 1 or more; got 0"):
        top_k(good, [0], 0)
    with pytest.raises(InputError, match="user 3 has no embedding"):
        top_k(good, [3], 1)
    with pytest.raises(InputError, match="users must be 0 or more and below 2"):
        top_k(good, [2], 1, seen=rows_of([[], []], 4))
    with pytest.raises(InputError, match="users must be 0 or more; got -1"):
        top_k(good, [-1], 1)
    with pytest.raises(InputError, match="the scorer knows 4 items, the interactions 5"):
        top_k(good, [0], 1, seen=rows_of([[], [], []], 5))
    with pytest.raises(InputError, match=r"candidates must be item ids in \[0, 4\)"):
        top_k(good, [0], 1, candidates=[4])
    with pytest.raises(InputError, match="users must be a vector of integer ids"):
        top_k(good, [0.5], 1)
    with pytest.raises(InputError, match=r"embeddings must be \(U, D\) and \(I, D\)"):
        top_k((torch.zeros(3, 2), torch.zeros(4, 3)), [0], 1)
    with pytest.raises(InputError, match=r"\(1, I\) floating-point scores"):
        top_k(lambda u: torch.zeros(4), [0], 1)
    with pytest.raises(InputError, match="a scorer is embeddings"):
        top_k("popular", [0], 1)
    with pytest.raises(InputError, match="got 1 tensors"):
        top_k((torch.zeros(3, 2),), [0], 1)
