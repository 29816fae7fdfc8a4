from __future__ import annotations

import numpy as np
import pytest
import torch

from graphcl.datasets.stochastic_blocks import block_model
from graphcl.errors import InputError


@pytest.mark.parametrize(("nodes", "edges", "blocks"), [(40, 60, 2), (1003, 5000, 7)])
def test_it_has_exactly_the_edges_asked_for_each_in_both_directions_sorted_and_no_loops(nodes, edges, blocks):
    data = block_model(nodes, edges, blocks=blocks, features=3)
    source, target = data.edge_index
    assert data.edge_index.shape == (2, 2 * edges)
    key = source * nodes + target
    assert bool((key.diff() > 0).all())
    assert torch.equal((target * nodes + source).sort().values, key)
    assert not bool((source == target).any())
    assert int(data.edge_index.max()) < nodes
    assert data.x.shape == (nodes, 3)
    assert data.x.dtype == torch.float32
    assert data.provenance.counts == {"nodes": nodes, "edges": edges, "features": 3, "classes": blocks}


@pytest.mark.parametrize("inside", [0.0, 0.5, 0.8, 1.0])
def test_the_share_of_edges_inside_blocks_is_the_one_asked_for_and_degrees_are_even(inside):
    data = block_model(3000, 30_000, blocks=5, inside=inside, features=1)
    same = (data.y[data.edge_index[0]] == data.y[data.edge_index[1]]).float().mean()
    assert abs(float(same) - inside) <= 4 * (0.25 / 30_000) ** 0.5 + 0.01 * (0 < inside < 1)
    degree = torch.bincount(data.edge_index[0], minlength=3000).float()
    assert float(degree.mean()) == 20
    assert float(degree.var()) == pytest.approx(20, rel=0.2), "as for independent edges"


def test_blocks_are_of_equal_size_and_features_lie_around_their_centres():
    data = block_model(6001, 6000, blocks=3, features=4, noise=0.5, seed=1)
    sizes = torch.bincount(data.y)
    assert sizes.tolist() == [2001, 2000, 2000]
    for block in range(3):
        rows = data.x[data.y == block].double().numpy()
        np.testing.assert_allclose(rows.std(0), 0.5, rtol=0.06)
    exact = block_model(10, 5, blocks=2, features=4, noise=0.0)
    assert torch.equal(exact.x[0], exact.x[2])
    assert not torch.equal(exact.x[0], exact.x[1])


def test_the_seed_decides():
    first, again, other = (block_model(50, 80, features=2, blocks=2, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.edge_index, again.edge_index)
    assert torch.equal(first.x, again.x)
    assert not torch.equal(first.edge_index, other.edge_index)
    assert first.provenance == again.provenance
    assert first.provenance.sha256 != other.provenance.sha256


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_nodes": 3, "blocks": 2}, "2 nodes in each; got 3 nodes in 2 blocks"),
        ({"blocks": 1}, "needs 2 blocks"),
        ({"inside": 1.5}, "inside must be a probability in 0 .. 1; got 1.5"),
        ({"features": 0}, "features must be >= 1 and noise >= 0; got 0"),
        ({"noise": float("nan")}, "noise >= 0; got 1 and nan"),
        ({"num_edges": 0}, "num_edges must lie in 1 .. "),
        ({"num_edges": 10_000}, "num_edges must lie in 1 .. 375 for 100 nodes in 4 blocks with inside = 0.8; got 10000"),
    ],
)
def test_what_cannot_be_generated_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        block_model(**{"num_nodes": 100, "num_edges": 50, "blocks": 4, "features": 1, **settings})
