from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels.csr import multiply
from graphcl.recsys.graph import Bipartite
from graphcl.recsys.ranking import Rows, fingerprint


def random_rows(users=20, items=15, share=0.3, seed=0):
    dense = np.random.default_rng(seed).random((users, items)) < share
    return torch.from_numpy(dense).double(), rows_of(dense)


def rows_of(dense):
    dense = np.asarray(dense)
    indptr = np.concatenate([[0], np.cumsum(dense.astype(bool).sum(1))]).astype(np.int64)
    return Rows(indptr, np.nonzero(dense)[1].astype(np.int32), *dense.shape)


def normalised(dense):
    """By the pseudo-inverse square roots of the degrees."""
    left, right = (torch.where(d > 0, d.clamp(min=1) ** -0.5, 0.0) for d in (dense.sum(1), dense.sum(0)))
    return left[:, None] * dense * right


def test_the_block_is_normalised_by_both_degrees_and_multiplies_as_the_dense_one():
    dense, rows = random_rows()
    graph = Bipartite(rows, dtype=torch.float64)
    block = normalised(dense)
    torch.testing.assert_close(multiply(graph.matrix, torch.eye(15, dtype=torch.float64)), block)
    torch.testing.assert_close(graph.user_degree, dense.sum(1))
    torch.testing.assert_close(graph.item_degree, dense.sum(0))
    users, items = torch.randn(20, 3, dtype=torch.float64), torch.randn(15, 3, dtype=torch.float64)
    to_users, to_items = graph.spread(users, items)
    torch.testing.assert_close(to_users, block @ items)
    torch.testing.assert_close(to_items, block.T @ users)
    assert graph.num_interactions == int(dense.sum())
    assert graph.fingerprint == fingerprint(rows)
    assert Bipartite(rows).matrix.values.dtype == torch.float32


def test_the_graph_of_two_users_and_two_items_by_hand():
    graph = Bipartite(rows_of([[1, 1], [0, 1]]), dtype=torch.float64)
    half = 0.5**0.5
    want = torch.tensor([[half, 0.5], [0.0, half]], dtype=torch.float64)
    got = multiply(graph.matrix, torch.eye(2, dtype=torch.float64))
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(torch.linalg.svdvals(got), torch.tensor([1.0, 0.5], dtype=torch.float64))


def test_roots_of_the_degrees_are_left_as_they_are():
    dense, rows = random_rows()
    assert (dense.sum(0) > 0).all()
    graph = Bipartite(rows, dtype=torch.float64)
    users, items = graph.user_degree.sqrt()[:, None], graph.item_degree.sqrt()[:, None]
    to_users, to_items = graph.spread(users, items)
    torch.testing.assert_close(to_users, users)
    torch.testing.assert_close(to_items, items)
    assert torch.linalg.svdvals(normalised(dense)).max() <= 1 + 1e-12


def test_a_part_is_normalised_by_the_degrees_that_are_left():
    dense, rows = random_rows()
    graph = Bipartite(rows, dtype=torch.float64)
    mask = torch.rand(graph.num_interactions, generator=torch.Generator().manual_seed(1)) < 0.4
    mask[rows.indptr[3] : rows.indptr[4]] = False
    part = graph.kept(mask)
    left = dense.clone()
    left[dense.bool()] = mask.double()
    got = multiply(part.matrix, torch.eye(15, dtype=torch.float64))
    torch.testing.assert_close(got, normalised(left))
    assert torch.isfinite(got).all()
    assert (got[3] == 0).all()
    assert part.user_degree[3] == 0
    assert part.matrix.pattern is graph.matrix.pattern
    assert part.fingerprint == graph.fingerprint
    # The whole is as it was, and so is a part without holes.
    torch.testing.assert_close(multiply(graph.matrix, torch.eye(15, dtype=torch.float64)), normalised(dense))
    assert torch.equal(graph.kept(torch.ones_like(mask)).matrix.values, graph.matrix.values)


def test_gradients_reach_embeddings_and_values():
    dense, rows = random_rows(6, 5, 0.5)
    graph = Bipartite(rows, dtype=torch.float64)
    users, items = (torch.randn(n, 2, dtype=torch.float64, requires_grad=True) for n in (6, 5))
    values = torch.rand(graph.num_interactions, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda u, i, v: graph.reweight(v).spread(u, i), (users, items, values))
    to_users, _ = graph.reweight(values).spread(users, items)
    weighted = dense.clone()
    weighted[dense.bool()] = values.detach()
    torch.testing.assert_close(to_users, weighted @ items)


def test_it_stands_where_rows_are_asked_for():
    _, rows = random_rows()
    again = Bipartite(Bipartite(rows))
    assert again.fingerprint == fingerprint(again) == fingerprint(rows)
    assert torch.equal(again.matrix.values, Bipartite(rows).matrix.values)


def test_read_only_rows_are_taken_without_a_warning():
    _, rows = random_rows()
    rows.indptr.flags.writeable = rows.indices.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Bipartite(rows).num_interactions == len(rows.indices)


def test_it_moves_with_its_degrees_and_stays_where_it_is():
    graph = Bipartite(random_rows()[1])
    assert graph.to("cpu") is graph
    moved = graph.to("meta")
    assert {moved.device.type, moved.user_degree.device.type, moved.matrix.values.device.type} == {"meta"}
    assert graph.device.type == "cpu"


def test_what_is_no_graph_is_told():
    _, rows = random_rows()
    with pytest.raises(InputError, match="train has no interactions"):
        Bipartite(Rows(np.zeros(4, dtype=np.int64), np.zeros(0, dtype=np.int32), 3, 2))
    with pytest.raises(InputError, match=r"train: item ids must lie in \[0, 2\)"):
        Bipartite(Rows(rows.indptr, rows.indices, 20, 2))
    graph = Bipartite(rows)
    with pytest.raises(InputError, match=rf"values must be \({graph.num_interactions},\)"):
        graph.reweight(torch.ones(3))
    with pytest.raises(InputError, match=r"bool, one an interaction; got .* torch\.float32"):
        graph.kept(torch.ones(graph.num_interactions))
