import numpy as np
import torch
import torch.nn.functional as F

from graphcl.recsys.graph import Bipartite
from graphcl.recsys.graph.cosine_mask import cosine_weights, weighted_means
from graphcl.recsys.ranking.rows import Rows

# User 2 and item 3 have no interaction.
DENSE = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [1, 1, 1, 0], [0, 0, 1, 0]], dtype=torch.float64)


def graph():
    user, item = DENSE.nonzero().T.numpy()
    indptr = np.concatenate([[0], np.cumsum(np.bincount(user, minlength=5))]).astype(np.int64)
    return Bipartite(Rows(indptr, item.astype(np.int32), 5, 4), dtype=torch.float64)


def features(seed=0, width=3):
    torch.manual_seed(seed)
    return torch.randn(5, width, dtype=torch.float64), torch.randn(4, width, dtype=torch.float64)


def dense_masks(users, items):
    agreement = (F.normalize(users, dim=1) @ F.normalize(items, dim=1).T + 1) / 2 * DENSE
    return agreement / agreement.sum(1, keepdim=True).clamp(min=1e-300), agreement / agreement.sum(0).clamp(min=1e-300)


def test_the_weights_are_the_shifted_cosines_of_the_edges():
    users, items = features()
    want = ((F.cosine_similarity(users[:, None], items[None], dim=2) + 1) / 2)[DENSE.bool()]
    got = cosine_weights(graph(), users, items)
    torch.testing.assert_close(got, want)
    assert ((got >= 0) & (got <= 1)).all()


def test_rows_of_zeros_have_cosine_zero_and_gradients_that_are_numbers():
    users, items = (rows.requires_grad_() for rows in (torch.zeros(5, 3, dtype=torch.float64), features()[1]))
    weights = cosine_weights(graph(), users, items)
    assert (weights == 0.5).all()
    weights.sum().backward()
    assert (users.grad == 0).all()
    assert (items.grad == 0).all()


def test_opposite_rows_weigh_nothing_and_never_less():
    direction = torch.tensor([[0.3, -0.7, 0.11]])
    item = Bipartite(Rows(np.array([0, 1], dtype=np.int64), np.array([0], dtype=np.int32), 1, 1))
    for length in torch.linspace(0.1, 30, 200):
        weight = cosine_weights(item, direction, -length * direction)
        assert 0 <= weight.item() < 1e-6


def test_the_means_are_products_with_the_two_normalised_masks():
    by, rows = features(0), features(1, width=6)
    users, items = weighted_means(graph(), cosine_weights(graph(), *by), *rows)
    over_items, over_users = dense_masks(*by)
    torch.testing.assert_close(users, over_items @ rows[1])
    torch.testing.assert_close(items, over_users.T @ rows[0])


def test_mask_rows_sum_to_one_and_to_zero_where_nobody_is():
    ones = torch.ones(5, 1, dtype=torch.float64), torch.ones(4, 1, dtype=torch.float64)
    users, items = weighted_means(graph(), cosine_weights(graph(), *features()), *ones)
    torch.testing.assert_close(users, (DENSE.sum(1, keepdim=True) > 0).double())
    torch.testing.assert_close(items, (DENSE.sum(0)[:, None] > 0).double())


def test_weights_that_are_all_zero_give_zeros_and_gradients_that_are_numbers():
    weights = torch.zeros(8, dtype=torch.float64, requires_grad=True)
    users, items = weighted_means(graph(), weights, *features())
    assert (users == 0).all()
    assert (items == 0).all()
    (users.sum() + items.sum()).backward()
    assert weights.grad.isfinite().all()


def test_gradients_reach_features_and_rows():
    by, rows = features(0), features(1, width=2)
    inputs = [part.requires_grad_() for part in (*by, *rows)]

    def means(by_users, by_items, users, items):
        return weighted_means(graph(), cosine_weights(graph(), by_users, by_items), users, items)

    assert torch.autograd.gradcheck(means, inputs)
