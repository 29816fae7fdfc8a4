import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.cluster import SpectralClustering

from graphcl.errors import InputError
from graphcl.evaluation import clustering_scores
from graphcl.evaluation.spectral import graph_coordinates, leading_eigenvectors, linear_spectral, spectral_clusters
from graphcl.kernels import Adjacency


def groups(sizes=(20, 25, 15), d=6, noise=0.3, seed=0):
    torch.manual_seed(seed)
    y = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    z = (F.one_hot(y, d) + noise * torch.rand(len(y), d)).double()
    return F.normalize(z, dim=1), y.numpy()


def dense_normalised(z):
    s = (z @ z.T).fill_diagonal_(0)
    root = s.sum(1).rsqrt()
    return root[:, None] * s * root, s.sum(1)


def graph(n=40, chance=0.15, seed=0, parts=2):
    torch.manual_seed(seed)
    y = torch.arange(n) % parts
    upper = (torch.rand(n, n) < torch.where(y[:, None] == y, 4 * chance, chance)).triu(1)
    edges = upper.nonzero().T
    return Adjacency.from_edge_index(torch.cat([edges, edges.flip(0)], 1), n), y.numpy()


@pytest.mark.parametrize("lengths", [False, True])
def test_eigenvectors_span_what_those_of_the_dense_operator_span(lengths):
    z, _ = groups()
    if lengths:
        z = z * (0.5 + torch.rand(len(z), 1).double())
    m, degree = dense_normalised(z)
    values, vectors = torch.linalg.eigh(m)
    found = linear_spectral(z, 3)
    torch.testing.assert_close(found.values, values.flip(0)[:3])
    u = found(z) * degree.sqrt()[:, None] / degree.sum().sqrt()
    torch.testing.assert_close(u.T @ u, torch.eye(3, dtype=torch.float64), atol=1e-6, rtol=0)
    lead = vectors[:, -3:]
    torch.testing.assert_close(lead @ (lead.T @ u), u, atol=1e-6, rtol=0)


def test_coordinates_have_mean_square_one_and_the_first_says_nothing():
    z, _ = groups()
    _, degree = dense_normalised(z)
    coordinates = linear_spectral(z, 3)(z)
    mean = (degree[:, None] * coordinates.square()).sum(0) / degree.sum()
    torch.testing.assert_close(mean, torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(coordinates[:, 0].abs(), torch.ones(len(z), dtype=torch.float64))


def test_clusters_are_those_of_scikit_learn_on_the_dense_affinity():
    z, y = groups(noise=0.9)
    dense = SpectralClustering(3, affinity="precomputed", random_state=0, assign_labels="kmeans").fit((z @ z.T).numpy())
    mine = spectral_clusters(z, 3, seed=0)
    assert clustering_scores(dense.labels_, mine)["acc"] == 1
    assert clustering_scores(y, mine)["acc"] > 0.9


def test_rows_that_were_not_there_are_placed_beside_their_like():
    z, _ = groups()
    found = linear_spectral(z, 3)
    torch.testing.assert_close(found(z.repeat(2, 1))[len(z) :], found(z))
    middle = F.normalize(z[:20].mean(0, keepdim=True), dim=1)
    there = (found(middle) - found(z)).norm(dim=1)
    assert there[:20].max() < there[20:].min()


def test_rows_like_nobody_stay_at_the_origin():
    z, _ = groups()
    z = torch.cat([z, torch.zeros(2, 6).double()])
    coordinates = linear_spectral(z, 3)(z)
    assert bool(coordinates.isfinite().all())
    assert not bool(coordinates[-2:].any())


def test_the_same_rows_give_the_same_numbers_and_renamed_rows_the_renamed_ones():
    z, _ = groups()
    coordinates = linear_spectral(z, 3)(z)
    assert torch.equal(linear_spectral(z, 3)(z), coordinates)
    order = torch.randperm(len(z))
    torch.testing.assert_close(linear_spectral(z[order], 3)(z[order]).abs(), coordinates[order].abs(), atol=1e-5, rtol=1e-4)


def test_nothing_of_n_by_n_is_held():
    z, y = groups((60_000, 50_000), d=3)  # squared: 97 GB
    assert clustering_scores(y, spectral_clusters(z.float(), 2, seed=0, n_init=1))["acc"] > 0.99


@pytest.mark.parametrize(
    ("z", "count", "message"),
    [
        (torch.eye(3), 3, r"must lie in 1 \.\. 2"),
        (torch.eye(3), 0, r"must lie in 1 \.\. 2"),
        (torch.full((4, 2), torch.nan), 2, "needs finite embeddings"),
        (torch.tensor([[1.0], [-1.0], [1.0], [-1.0]]), 2, "similarities that are not negative"),
    ],
)
def test_embeddings_without_a_graph_are_refused(z, count, message):
    with pytest.raises(InputError, match=message):
        linear_spectral(z, count)


@pytest.mark.parametrize("regularisation", [0.0, 1.0])
def test_graph_coordinates_are_unit_rows_of_the_dense_eigenvectors(regularisation):
    adj, _ = graph()
    n, degree = adj.num_nodes, adj.degree.double()
    thread = regularisation * degree.mean()
    a = adj.to_dense().double() * degree.sqrt()[:, None] * degree.sqrt() + thread / n
    root = a.sum(1).rsqrt()
    lead = torch.linalg.eigh(root[:, None] * a * root).eigenvectors[:, -2:]
    found = torch.from_numpy(graph_coordinates(adj, 2, regularisation=regularisation)).double()
    want = F.normalize(lead, dim=1)
    torch.testing.assert_close(found @ found.T, want @ want.T, atol=1e-4, rtol=0)


def test_small_components_do_not_take_the_place_of_groups():
    adj, y = graph(60)
    edges = torch.stack([adj.pattern.col, adj.pattern.row]).long()
    pair = torch.tensor([[60, 61, 62, 63, 64, 65], [61, 60, 63, 62, 65, 64]])
    whole = Adjacency.from_edge_index(torch.cat([edges[:, edges[0] != edges[1]], pair], 1), 66)
    bare, tied = (graph_coordinates(whole, 2, regularisation=r)[:60] for r in (0.0, 1.0))
    told = (tied @ tied.T) > 0.5
    assert (told == (y[:, None] == y)).mean() > 0.9
    assert ((bare @ bare.T > 0.5) == (y[:, None] == y)).mean() < 0.9


def test_directed_graphs_and_settings_out_of_range_are_refused():
    adj, _ = graph()
    with pytest.raises(InputError, match="need an undirected graph"):
        graph_coordinates(Adjacency.from_edge_index(torch.tensor([[0, 1], [1, 2]]), 3), 1)
    with pytest.raises(InputError, match=r"must lie in 1 \.\. 39"):
        graph_coordinates(adj, 40)
    with pytest.raises(InputError, match="regularisation must be >= 0; got -1"):
        graph_coordinates(adj, 2, regularisation=-1)


def test_eigenvectors_come_by_value_or_by_size():
    matrix = np.diag([3.0, -4.0, 1.0, 0.5, 2.0, 0.1])
    largest, _ = leading_eigenvectors(lambda v: matrix @ v, 6, 2)
    np.testing.assert_allclose(largest, [3, 2])
    widest, vectors = leading_eigenvectors(lambda v: matrix @ v, 6, 2, which="LM")
    np.testing.assert_allclose(widest, [-4, 3])
    np.testing.assert_allclose(np.abs(vectors), np.eye(6)[:, [1, 0]], atol=1e-7)


def test_eigenvalues_that_hardly_differ_come_to_two_digits():
    n = 20_000
    ring = leading_eigenvectors(lambda v: (np.roll(v, 1) + np.roll(v, -1)) / 2, n, 3)[0]
    np.testing.assert_allclose(ring, 1, atol=0.02)
