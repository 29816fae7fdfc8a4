from __future__ import annotations

import numpy as np
import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.graph import Bipartite, polynomial
from graphcl.recsys.ranking import Rows


def random_graph(users=20, items=15, seed=0):
    dense = np.random.default_rng(seed).random((users, items)) < 0.3
    dense[4], dense[:, 7] = False, False  # somebody without neighbours on each side
    indptr = np.concatenate([[0], np.cumsum(dense.sum(1))]).astype(np.int64)
    graph = Bipartite(Rows(indptr, np.nonzero(dense)[1].astype(np.int32), users, items), dtype=torch.float64)
    block = torch.from_numpy(dense).double()
    left, right = (torch.where(d > 0, d.clamp(min=1) ** -0.5, 0.0) for d in (block.sum(1), block.sum(0)))
    whole = torch.zeros(users + items, users + items, dtype=torch.float64)
    whole[:users, users:] = left[:, None] * block * right
    return graph, whole + whole.T


def tables(graph, dim=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(n, dim, dtype=torch.float64, generator=generator).requires_grad_()
        for n in (graph.num_users, graph.num_items)
    ]


@pytest.mark.parametrize("weights", [[1.0], [0.5, 0.5], [0.25] * 4, [0.0, 0.5, 0.5], [0.0, 0.0, 2.0, 0.0, -1.0]])
def test_sum_and_gradient_are_those_of_the_dense_operator(weights):
    graph, whole = random_graph()
    users, items = tables(graph)
    got = torch.cat(polynomial(graph, users, items, weights))
    start = torch.cat([users, items]).detach().requires_grad_()
    want = sum(w * torch.linalg.matrix_power(whole, hop) @ start for hop, w in enumerate(weights))
    torch.testing.assert_close(got, want)
    factor = torch.randn(got.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    (got.sin() * factor).sum().backward()
    (want.sin() * factor).sum().backward()
    torch.testing.assert_close(torch.cat([users.grad, items.grad]), start.grad)


def test_gradients_of_both_orders_are_right():
    graph, _ = random_graph(6, 8)
    users, items = tables(graph, 2)
    assert torch.autograd.gradcheck(lambda u, i: polynomial(graph, u, i, [0.2, 0.0, 0.8]), (users, items))
    assert torch.autograd.gradgradcheck(lambda u, i: polynomial(graph, u, i, [0.2, 0.0, 0.8]), (users, items))


def test_a_side_that_nobody_used_gets_what_reaches_it_from_the_other():
    graph, whole = random_graph()
    users, items = tables(graph)
    polynomial(graph, users, items, [0.0, 1.0])[0].sum().backward()
    torch.testing.assert_close(items.grad, whole[20:, :20].sum(1, keepdim=True).expand(-1, 4))
    assert (users.grad == 0).all()


def test_numbering_does_not_matter():
    graph, _ = random_graph()
    users, items = (t.detach() for t in tables(graph))
    order, other = (torch.randperm(n, generator=torch.Generator().manual_seed(n)) for n in (20, 15))
    dense = np.zeros((20, 15))
    dense[np.repeat(np.arange(20), np.diff(graph.indptr)), graph.indices] = 1
    moved = dense[order.numpy()][:, other.numpy()]
    indptr = np.concatenate([[0], np.cumsum(moved.sum(1))]).astype(np.int64)
    renumbered = Bipartite(Rows(indptr, np.nonzero(moved)[1].astype(np.int32), 20, 15), dtype=torch.float64)
    want = polynomial(graph, users, items, [0.3, 0.3, 0.4])
    got = polynomial(renumbered, users[order], items[other], [0.3, 0.3, 0.4])
    torch.testing.assert_close(got[0], want[0][order])
    torch.testing.assert_close(got[1], want[1][other])


def test_the_tables_are_not_written_to():
    graph, _ = random_graph()
    users, items = tables(graph)
    before = users.detach().clone()
    polynomial(graph, users, items, [1.0, 1.0])
    assert torch.equal(users, before)


def test_what_cannot_be_summed_is_told():
    graph, _ = random_graph()
    users, items = tables(graph)
    with pytest.raises(InputError, match="one number for each layer"):
        polynomial(graph, users, items, [])
    learned = graph.reweight(graph.matrix.values.clone().requires_grad_())
    with pytest.raises(InputError, match="spread it layer by layer"):
        polynomial(learned, users, items, [0.5, 0.5])
