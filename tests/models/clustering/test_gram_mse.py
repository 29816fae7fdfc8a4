import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.kernels import Adjacency
from graphcl.models.clustering.gram_mse import gram_mse


def views(n, d=4, seed=0):
    torch.manual_seed(seed)
    return tuple(F.normalize(torch.randn(n, d, dtype=torch.float64), dim=1).requires_grad_() for _ in range(2))


def target(data, weighted):
    weight = data.edge_weight.double() if weighted else torch.ones(data.edge_index.shape[1], dtype=torch.float64)
    return Adjacency.from_edge_index(data.edge_index, data.num_nodes, edge_weight=weight, normalize=None)


def dense(z1, z2, adj):
    return (z1 @ z2.T - adj.to_dense()).square().mean()


@pytest.mark.parametrize("weighted", [False, True])
def test_value_and_gradient_are_those_of_the_dense_form(blocks, weighted):
    data = blocks(weighted=True, isolated=2)
    adj, (z1, z2) = target(data, weighted), views(data.num_nodes)
    want, got = dense(z1, z2, adj), gram_mse(z1, z2, adj)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(torch.autograd.grad(got, (z1, z2)), torch.autograd.grad(want, (z1, z2)))


def test_a_directed_target_is_met_in_its_direction():
    adj = Adjacency.from_edge_index(torch.tensor([[0, 1], [1, 2]]), 3, edge_weight=torch.ones(2).double(), normalize=None)
    z1, z2 = views(3)
    torch.testing.assert_close(gram_mse(z1, z2, adj), dense(z1, z2, adj))


def test_gradients_agree_with_differences(blocks):
    data = blocks((3, 4))
    adj = target(data, weighted=False)
    assert torch.autograd.gradcheck(lambda a, b: gram_mse(a, b, adj), views(7, 2))


def test_it_vanishes_where_cosines_are_the_target():
    z = torch.eye(3, dtype=torch.float64).repeat_interleave(2, 0)
    index = torch.tensor([[0, 1, 2, 3, 4, 5], [1, 0, 3, 2, 5, 4]])
    adj = Adjacency.from_edge_index(index, 6, edge_weight=torch.ones(6).double(), normalize=None)
    torch.testing.assert_close(gram_mse(z, z, adj), torch.zeros((), dtype=torch.float64), atol=1e-15, rtol=0)


def test_nothing_of_n_by_n_is_held():
    n = 200_000  # squared: 160 GB
    index = torch.arange(n)
    adj = Adjacency.from_edge_index(torch.stack([index, (index + 1) % n]), n, normalize=None)
    z = torch.zeros(n, 2)
    z[:, 0] = 1
    z.requires_grad_()
    gram_mse(z, z, adj).backward()
    torch.testing.assert_close(gram_mse(z, z, adj).item(), 1 - 2 / n)
    assert bool(z.grad.isfinite().all())


def test_views_of_another_graph_are_refused(blocks):
    adj = target(blocks(), weighted=False)
    with pytest.raises(InputError, match=r"both views must be \(31, D\)"):
        gram_mse(*views(30), adj)
    with pytest.raises(InputError, match=r"got \(31, 4\) and \(31, 5\)"):
        gram_mse(views(31)[0], views(31, 5)[0], adj)
