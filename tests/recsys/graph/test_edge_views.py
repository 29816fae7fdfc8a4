from __future__ import annotations

import numpy as np
import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.graph import Bipartite
from graphcl.recsys.graph.edge_views import without_edges, without_nodes
from graphcl.recsys.ranking import Rows


def complete(users=10, items=6):
    indptr = np.arange(users + 1, dtype=np.int64) * items
    return Bipartite(Rows(indptr, np.tile(np.arange(items, dtype=np.int32), users), users, items), dtype=torch.float64)


def seed(number):
    return torch.Generator().manual_seed(number)


@pytest.mark.parametrize(("rate", "left"), [(0.0, 60), (0.1, 54), (0.3, 42), (0.99, 0), (1 / 3, 40)])
def test_exactly_the_share_of_interactions_is_left(rate, left):
    part = without_edges(complete(), rate, generator=seed(0))
    assert int((part.matrix.values > 0).sum()) == left
    assert int(part.user_degree.sum()) == int(part.item_degree.sum()) == left
    assert torch.isfinite(part.matrix.values).all()


def test_without_a_share_the_graph_is_the_whole():
    graph = complete()
    for hole in (without_edges, without_nodes):
        assert torch.equal(hole(graph, 0.0).matrix.values, graph.matrix.values)


def test_users_and_items_go_with_all_their_interactions():
    part = without_nodes(complete(), 0.35, generator=seed(0))
    assert sorted(part.user_degree.tolist()) == [0] * 3 + [4] * 7
    assert sorted(part.item_degree.tolist()) == [0] * 2 + [7] * 4
    assert torch.isfinite(part.matrix.values).all()
    there = part.matrix.values[part.matrix.values > 0]
    torch.testing.assert_close(there, torch.full_like(there, 28**-0.5))


def test_every_interaction_goes_equally_often():
    graph, generator = complete(5, 4), seed(3)
    left = torch.stack([without_edges(graph, 0.25, generator=generator).matrix.values > 0 for _ in range(400)])
    # 15 of 20 stay; 5 standard deviations of a share out of 400.
    assert (left.double().mean(0) - 0.75).abs().max() < 5 * (0.75 * 0.25 / 400) ** 0.5


def test_the_same_generator_gives_the_same_view():
    graph = complete()
    for hole in (without_edges, without_nodes):
        first, again, other = (hole(graph, 0.4, generator=seed(n)).matrix.values for n in (1, 1, 2))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_a_share_out_of_range_is_refused(rate):
    for hole in (without_edges, without_nodes):
        with pytest.raises(InputError, match=r"must lie in \[0, 1\)"):
            hole(complete(), rate)
