import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.evaluation import node_baselines
from graphcl.kernels import Adjacency


def ring(n=17, f=5):
    torch.manual_seed(0)
    index = torch.stack([torch.arange(n), (torch.arange(n) + 1) % n])
    return torch.randn(n, f).relu(), Adjacency.from_edge_index(torch.cat([index, index.flip(0)], 1), n)


@pytest.mark.parametrize("hops", [0, 1, 3])
def test_rows_are_raw_filtered_and_random_at_the_width_asked_for(hops):
    x, adj = ring()
    found = node_baselines(x, adj, 7, seed=0, hops=hops)
    assert list(found) == ["raw", f"filtered-{hops}", f"projected-{hops}-7", "random-gcn-7"]
    assert [tuple(z.shape) for z in found.values()] == [(17, 5), (17, 5), (17, 7), (17, 7)]
    assert found["raw"] is x
    want = torch.linalg.matrix_power(adj.to_dense().double(), hops) @ F.normalize(x.double(), dim=1)
    torch.testing.assert_close(found[f"filtered-{hops}"], want.float())


def test_the_projection_is_linear_in_the_filter_and_keeps_lengths():
    x, adj = ring()
    found = node_baselines(x, adj, 4000, seed=0)
    weight = torch.linalg.lstsq(found["filtered-2"].double(), found["projected-2-4000"].double()).solution
    torch.testing.assert_close(found["filtered-2"].double() @ weight, found["projected-2-4000"].double(), atol=1e-4, rtol=0)
    torch.testing.assert_close(found["projected-2-4000"].norm(dim=1), found["filtered-2"].norm(dim=1), rtol=0.1, atol=0)


def test_the_untrained_network_sees_two_hops_and_is_not_linear():
    x, adj = ring()
    base = node_baselines(x, adj, 6, seed=0)["random-gcn-6"]
    moved = x.clone()
    moved[8] += 1
    changed = (node_baselines(moved, adj, 6, seed=0)["random-gcn-6"] - base).abs().sum(1) > 1e-6
    assert changed.nonzero().flatten().tolist() == [6, 7, 8, 9, 10]
    torch.testing.assert_close(node_baselines(3 * x, adj, 6, seed=0)["random-gcn-6"], 3 * base)
    opposite = node_baselines(-x, adj, 6, seed=0)["random-gcn-6"]
    assert float((opposite + base).abs().max()) > 0.01


def test_sparse_features_give_what_dense_ones_give():
    x, adj = ring()
    dense, sparse = node_baselines(x, adj, 6, seed=1), node_baselines(x.to_sparse_csr(), adj, 6, seed=1)
    for name in list(dense)[1:]:
        torch.testing.assert_close(dense[name], sparse[name])


def test_the_same_seed_gives_the_same_rows_whatever_was_drawn_before():
    x, adj = ring()
    first = node_baselines(x, adj, 6, seed=2)
    torch.manual_seed(99)
    second, other = node_baselines(x, adj, 6, seed=2), node_baselines(x, adj, 6, seed=3)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["random-gcn-6"], other["random-gcn-6"])


def test_a_width_below_one_is_refused():
    x, adj = ring()
    with pytest.raises(InputError, match="width must be 1 or more"):
        node_baselines(x, adj, 0, seed=0)
