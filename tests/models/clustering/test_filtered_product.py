import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels import Adjacency
from graphcl.models.clustering.filtered_product import filtered_product


@pytest.fixture
def graph(blocks):
    data = blocks(weighted=True, isolated=1)
    data.x = data.x.double().relu()
    adj = Adjacency.from_edge_index(data.edge_index, data.num_nodes, edge_weight=data.edge_weight.double())
    return data.x, adj, torch.randn(6, 4, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("hops", [0, 1, 3])
def test_it_is_the_power_of_the_operator_times_features_times_weight(graph, hops):
    x, adj, weight = graph
    want = torch.linalg.matrix_power(adj.to_dense(), hops) @ x @ weight
    grad = torch.randn_like(want)
    (wanted,) = torch.autograd.grad((want * grad).sum(), weight)
    for features in (x, x.to_sparse_csr()):
        got = filtered_product(features, adj, hops, weight)
        torch.testing.assert_close(got, want)
        torch.testing.assert_close(torch.autograd.grad((got * grad).sum(), weight)[0], wanted)


def test_the_filter_commutes_with_scaling_of_the_features(graph):
    x, adj, weight = graph
    torch.testing.assert_close(filtered_product(3 * x, adj, 2, weight), 3 * filtered_product(x, adj, 2, weight))


def test_features_that_were_written_to_are_filtered_again(graph):
    x, adj, weight = graph
    before = filtered_product(x, adj, 2, weight)
    x.mul_(2)
    torch.testing.assert_close(filtered_product(x, adj, 2, weight), 2 * before)


def test_a_weight_of_other_features_and_negative_hops_are_refused(graph):
    x, adj, weight = graph
    for features in (x, x.to_sparse_csr()):
        with pytest.raises(InputError, match="with one F"):
            filtered_product(features, adj, 2, weight[:3])
        with pytest.raises(InputError, match="hops must be 0 or more; got -1"):
            filtered_product(features, adj, -1, weight)
