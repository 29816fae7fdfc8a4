import pytest
import torch
import torch.nn.functional as F
from torch_geometric.data import Data
from torch_geometric.utils import degree

from graphcl.augment.centrality import node_centrality
from graphcl.augment.centrality_drop import edge_weights, feature_weights
from graphcl.errors import InputError
from graphcl.kernels import cached_adjacency
from graphcl.models.node import GRACE
from graphcl.models.node.gca import GCA

SMALL = {"hidden": 6, "projection": 7}
MEASURES = ("degree", "pagerank", "eigenvector", "lazy-walk")


def by_formula(h1, h2, t):
    """Both views against all rows of both views, with whole matrices in double precision."""
    u1, u2 = F.normalize(h1.double()), F.normalize(h2.double())
    between, first, second = (torch.exp(s / t) for s in (u1 @ u2.T, u1 @ u1.T, u2 @ u2.T))
    there = between.sum(1) + first.sum(1) - first.diagonal()
    back = between.sum(0) + second.sum(1) - second.diagonal()
    return ((there / between.diagonal()).log().mean() + (back / between.diagonal()).log().mean()) / 2


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("sparse", [False, True])
def test_a_step_is_the_papers_in_value_and_gradients(graph, drawn, encoded, same_step, measure, sparse):
    data = graph(sparse=sparse)
    torch.manual_seed(1)
    system = GCA(9, **SMALL, activation="prelu", centrality=measure, temperature=0.5, cap=0.6)
    torch.manual_seed(2)
    loss = system.training_step(data)["loss"]
    plain = cached_adjacency(data.edge_index, 23, normalize=None, self_loops=False)
    central = node_centrality(plain, measure)
    edges, features = edge_weights(central, data.edge_index), feature_weights(central, data.x)
    rates = [((r * edges).clamp(max=0.6), (f * features).clamp(max=0.6)) for r, f in ((0.2, 0.3), (0.4, 0.4))]
    torch.manual_seed(2)
    h1, h2 = (system.projector(encoded(system.encoder, view)) for view in drawn(data, rates))
    same_step(system, loss, by_formula(h1, h2, 0.5))


def test_edges_into_the_largest_degree_stay_and_the_rate_is_the_mean(graph):
    data = graph()
    first, second = GCA(9, **SMALL, drop_edge_1=0.2, drop_edge_2=0.3, cap=1.0).views(data)
    reached = degree(data.edge_index[1], 23)[data.edge_index[1]]
    assert not first.edges.p[reached == reached.max()].any()
    assert first.edges.p[reached == reached.min()].min() == first.edges.p.max()
    assert float(first.edges.p.mean()) == pytest.approx(0.2)
    assert float(second.edges.p.mean()) == pytest.approx(0.3)


def test_with_equal_centralities_it_is_grace_on_the_same_seed():
    ring = torch.stack([torch.arange(12), (torch.arange(12) + 1) % 12])
    data = Data(x=torch.rand(12, 5) + 0.1, edge_index=torch.cat([ring, ring.flip(0)], 1))
    torch.manual_seed(0)
    grace = GRACE(5, **SMALL, activation="prelu")
    torch.manual_seed(0)
    gca = GCA(5, **SMALL, activation="prelu")
    assert gca.state_dict().keys() == grace.state_dict().keys()
    for system in (grace, gca):
        torch.manual_seed(1)
        system.loss = system.training_step(data)["loss"]
    assert torch.equal(gca.loss, grace.loss)
    assert torch.equal(gca.embed(data), grace.embed(data))


def test_the_lazy_walk_is_the_degree_on_a_connected_graph_and_pagerank_is_not(graph):
    data = graph(60)
    ends = data.edge_index[:, data.edge_index.max(0).values < 58]
    data.edge_index = torch.cat([ends, torch.tensor([[58, 0, 59, 58], [0, 58, 58, 59]])], 1)
    p = {measure: GCA(9, **SMALL, centrality=measure).views(data)[0].edges.p for measure in MEASURES}
    torch.testing.assert_close(p["lazy-walk"], p["degree"], rtol=0.02, atol=0.005)
    assert (p["pagerank"] - p["degree"]).abs().max() > 0.02
    assert (p["eigenvector"] - p["degree"]).abs().max() > 0.02


@pytest.mark.parametrize("options", [{}, {"encoder": "sage"}, {"row_normalise": True, "centrality": "eigenvector"}])
def test_it_is_sound(graph, sound, options):
    sound(lambda: GCA(9, **SMALL, **options), graph(sparse=True, weighted=True))


@pytest.mark.parametrize(("loss", "negatives"), [("info-nce", "meta-node"), ("nt-xent", "hybrid"), ("hcl", "exact")])
@pytest.mark.parametrize("system", [GCA, GRACE])
def test_other_losses_and_negatives_train_and_resume(graph, sound, system, loss, negatives):
    sound(lambda: system(9, **SMALL, loss=loss, negatives=negatives), graph())


def test_dense_features_may_count_by_their_size(graph):
    data = graph()
    binary, sized = (GCA(9, **SMALL, binary=b).views(data)[0].features.p for b in (True, False))
    assert not torch.equal(binary, sized)


def test_no_array_is_n_by_n(large, largest_array):
    data = large()
    system = GCA(16, hidden=8, projection=8, loss="info-nce", negatives="sampled", centrality="eigenvector")
    assert largest_array(system, data) < 20_000**2 / 4  # a bool for every fourth pair


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": 0}, "hidden must be >= 1; got 0"),
        ({"projection": 0}, "projection must be >= 1; got 0"),
        ({"drop_edge_1": 1.5}, r"drop_edge_1 .*lies in 0 \.\. 1; got 1.5"),
        ({"drop_feature_2": -0.1}, r"drop_feature_2 .*lies in 0 \.\. 1; got -0.1"),
        ({"cap": 2.0}, r"cap .*lies in 0 \.\. 1; got 2"),
        ({"centrality": "closeness"}, "unknown centrality 'closeness'"),
        ({"encoder": "cnn"}, "unknown encoder 'cnn'"),
        ({"temperature": 0.0}, "temperature must be > 0"),
        ({"negatives": "meta-node"}, "meta-nodes take one candidate"),
        ({"loss": "info-nc"}, "unknown loss of two views 'info-nc'"),
    ],
)
def test_hyper_parameters_out_of_range_are_named(options, message):
    with pytest.raises(InputError, match=message):
        GCA(9, **options)


def test_graphs_it_cannot_use_are_refused(graph):
    system = GCA(9, **SMALL)
    with pytest.raises(InputError, match="the graph has none: give it an x"):
        system.training_step(Data(edge_index=torch.tensor([[0], [1]]), num_nodes=2))
    with pytest.raises(InputError, match="made for 9 features a node"):
        system.training_step(graph(f=4))
