import numpy as np
import pytest
import torch

from graphcl.errors import InputError
from graphcl.evaluation import clustering_scores, kmeans
from graphcl.evaluation.factorisation import factorised_walks
from graphcl.kernels import Adjacency


def graph(sizes=(14, 16), within=0.5, between=0.05, seed=0, isolated=0, weighted=False):
    torch.manual_seed(seed)
    y = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    upper = (torch.rand(len(y), len(y)) < torch.where(y[:, None] == y, within, between)).triu(1)
    edges = upper.nonzero().T
    weight = torch.rand(edges.shape[1]).double() + 0.5 if weighted else torch.ones(edges.shape[1]).double()
    both = torch.cat([edges, edges.flip(0)], 1)
    return Adjacency.from_edge_index(both, len(y) + isolated, edge_weight=weight.repeat(2)), y.numpy()


def dense_logs(adj, window):
    degree = adj.degree
    a = adj.to_dense() * degree.sqrt()[:, None] * degree.sqrt()
    p = a / degree[:, None]
    total = sum(torch.linalg.matrix_power(p, r) for r in range(1, window + 1))
    return (degree.sum() / window * total / degree).clamp(min=1).log()


@pytest.mark.parametrize("window", [1, 2, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_all_of_the_width_gives_back_the_dense_logs(window, weighted):
    adj, _ = graph(weighted=weighted, isolated=1)
    logs = dense_logs(adj, window)
    values, vectors = torch.linalg.eigh(logs)
    order = values.abs().argsort(descending=True)[:5]
    found = torch.from_numpy(factorised_walks(adj, 5, window=window)).double()
    want = vectors[:, order] * values[order].abs().sqrt()
    torch.testing.assert_close(found @ found.T, want @ want.T, rtol=1e-4, atol=1e-4)
    assert found.shape == (31, 5)


def test_cut_rows_keep_their_largest_entries_as_they_were():
    adj, _ = graph()
    whole, cut = (factorised_walks(adj, 6, window=3, max_fill=fill) for fill in (30, 12))
    assert not np.allclose(np.abs(whole), np.abs(cut), atol=1e-3)
    one, all_of_them = (factorised_walks(adj, 6, window=1, max_fill=fill) for fill in (29, 512))
    np.testing.assert_allclose(np.abs(one), np.abs(all_of_them), atol=1e-4)


def test_groups_are_found_and_the_same_graph_gives_the_same_numbers():
    adj, y = graph()
    z = factorised_walks(adj, 4)
    assert clustering_scores(y, kmeans(z, 2, seed=0).labels)["acc"] == 1
    assert np.array_equal(factorised_walks(adj, 4), z)


def test_nothing_of_n_by_n_is_held():
    n = 60_000  # squared: 29 GB
    index = torch.arange(n // 3) * 3
    edges = torch.cat([torch.stack([index, index + 1]), torch.stack([index + 1, index + 2])], 1)
    chains = Adjacency.from_edge_index(torch.cat([edges, edges.flip(0)], 1), n)
    assert factorised_walks(chains, 1, window=2).shape == (n, 1)


def test_directed_graphs_and_settings_out_of_range_are_refused():
    adj, _ = graph()
    with pytest.raises(InputError, match="on an undirected graph"):
        factorised_walks(Adjacency.from_edge_index(torch.tensor([[0, 1], [1, 2]]), 3), 1)
    with pytest.raises(InputError, match=r"width must lie in 1 \.\. 29"):
        factorised_walks(adj, 30)
    with pytest.raises(InputError, match="order must be >= 1, the highest power"):
        factorised_walks(adj, 2, window=0)
    with pytest.raises(InputError, match="max_fill must be >= 1, the entries kept"):
        factorised_walks(adj, 2, max_fill=0)
