import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.transforms import Compose

from graphcl.augment import DropEdges, MaskFeatures
from graphcl.errors import InputError
from graphcl.kernels import cached_adjacency

both_ways = pytest.mark.parametrize("symmetric", [True, False])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def drop(p, seed=0, *, symmetric=True):
    return DropEdges(p, symmetric=symmetric, generator=seeded(seed))


def pairs(data):
    return sorted(map(tuple, data.edge_index.T.tolist()))


def by_pyg(data):
    """The operator of a graph by PyG's normalisation, dense."""
    n = data.num_nodes
    index, weight = gcn_norm(data.edge_index, data.edge_weight if "edge_weight" in data else None, n)
    return torch.zeros(n, n).index_put((index[1], index[0]), weight, accumulate=True)


@both_ways
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("p", [0.0, 0.3, 0.8, 1.0])
def test_the_operator_is_that_of_the_graph_from_the_same_generator(graph, symmetric, weighted, directed, p):
    data = graph(weighted=weighted, directed=directed)
    for seed in range(5):
        view = drop(p, seed, symmetric=symmetric)(data)
        operator = drop(p, seed, symmetric=symmetric).adjacency(data)
        torch.testing.assert_close(operator.to_dense(), by_pyg(view))


@both_ways
@pytest.mark.parametrize("weighted", [False, True])
def test_so_it_is_with_probabilities_for_each_edge(graph, symmetric, weighted):
    data = graph(weighted=weighted)
    p = torch.rand(data.num_edges, generator=seeded())
    view, operator = (drop(p, 1, symmetric=symmetric) for _ in range(2))
    torch.testing.assert_close(operator.adjacency(data).to_dense(), by_pyg(view(data)))


def test_the_two_faces_leave_the_generator_alike(graph):
    data, first, second = graph(), drop(0.5), drop(0.5)
    first(data), second.adjacency(data)
    assert torch.equal(first.generator.get_state(), second.generator.get_state())
    assert pairs(first(data)) == pairs(second(data))


def test_both_directions_go_together_or_by_themselves(graph):
    data = graph(101)
    together = drop(0.5)(data)
    assert together.is_undirected()
    assert drop(0.5).adjacency(data).is_symmetric
    apart = drop(0.5, symmetric=False)(data)
    assert not apart.is_undirected()


@both_ways
def test_an_edge_survives_as_often_as_it_should(graph, symmetric):
    data, p, rounds = graph(), 0.3, 2000
    source, target = data.edge_index
    transform = drop(p, symmetric=symmetric)
    count, both = torch.zeros(13, 13), torch.zeros(13, 13)
    for _ in range(rounds):
        there = torch.zeros(13, 13)
        there[tuple(transform(data).edge_index)] = 1
        count += there
        both += there * there.T
    edge = source != target
    expected = 1 - p if symmetric else (1 - p) ** 2
    assert (count[source[edge], target[edge]] / rounds - (1 - p)).abs().max() < 0.05
    assert (both[source[edge], target[edge]] / rounds - expected).abs().max() < 0.05
    assert count[3, 3] == rounds, "loops stay"


def test_each_edge_has_the_probability_of_its_column(graph):
    data = graph()
    source, target = data.edge_index
    never = (source + target) % 2 == 0
    view = drop(torch.where(never, 0.0, 1.0), symmetric=False)(data)
    wanted = never | (source == target)
    assert torch.equal(view.edge_index, data.edge_index[:, wanted])


def test_two_directions_that_go_together_take_the_mean_of_their_probabilities():
    data = Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
    transform = drop(torch.tensor([0.2, 0.6]))
    left = [transform(data).num_edges for _ in range(3000)]
    assert set(left) == {0, 2}
    assert abs(sum(left) / 6000 - 0.6) < 0.03


def test_an_edge_listed_twice_goes_as_one():
    data = Data(edge_index=torch.tensor([[0, 0, 1, 1, 1], [1, 1, 0, 0, 2]]), num_nodes=4)
    for symmetric in (True, False):
        transform = drop(0.5, symmetric=symmetric)
        for _ in range(20):
            counts = [pairs(transform(data)).count(pair) for pair in ((0, 1), (1, 0))]
            assert set(counts) <= {0, 2}
    torch.testing.assert_close(drop(0.5, 4).adjacency(data).to_dense(), by_pyg(drop(0.5, 4)(data)))


@both_ways
def test_edge_attributes_are_cut_alike_and_nodes_stay(graph, symmetric):
    data = graph(weighted=True)
    data.edge_attr = torch.stack([data.edge_index[0], data.edge_index[1]], 1).float()
    view = drop(0.5, symmetric=symmetric)(data)
    assert 0 < view.num_edges < data.num_edges
    assert torch.equal(view.edge_attr, view.edge_index.T.float())
    weight = dict(zip(map(tuple, data.edge_index.T.tolist()), data.edge_weight.tolist(), strict=True))
    assert view.edge_weight.tolist() == [weight[pair] for pair in map(tuple, view.edge_index.T.tolist())]
    assert torch.equal(view.y, data.y)
    assert view.x is data.x


@pytest.mark.filterwarnings("ignore:Unable to accurately infer")
@both_ways
def test_trailing_nodes_stay_when_their_edges_or_all_edges_go(symmetric):
    data = Data(edge_index=torch.tensor([[0, 1, 1, 4], [1, 0, 4, 1]]))
    transform = drop(1.0, symmetric=symmetric)
    view = transform(data)
    assert view.num_nodes == 5
    assert view.num_edges == 0
    assert torch.equal(transform.adjacency(data).to_dense(), torch.eye(5))
    assert transform(view).num_nodes == 5


@both_ways
def test_a_graph_without_edges_has_a_view(symmetric):
    data = Data(x=torch.ones(3, 2), edge_index=torch.zeros(2, 0, dtype=torch.long))
    assert drop(0.5, symmetric=symmetric)(data).num_edges == 0
    assert torch.equal(drop(0.5, symmetric=symmetric).adjacency(data).to_dense(), torch.eye(3))


@both_ways
def test_the_graph_is_left_as_it_was(graph, symmetric):
    data = graph(weighted=True)
    before = {key: value.clone() for key, value in data.to_dict().items()}
    transform = drop(0.7, symmetric=symmetric)
    view = transform(data)
    transform.adjacency(data)
    assert view is not data
    assert set(data.to_dict()) == set(before)
    assert all(torch.equal(data[key], value) for key, value in before.items())


def test_nothing_to_drop_draws_nothing_and_is_the_cached_operator(graph):
    data, transform = graph(), drop(0.0)
    state = transform.generator.get_state()
    assert transform.adjacency(data) is cached_adjacency(data.edge_index, 13)
    assert pairs(transform(data)) == pairs(data)
    assert torch.equal(transform.generator.get_state(), state)


def test_the_positions_of_the_whole_graph_are_shared(graph):
    data = graph()
    for symmetric in (True, False):
        transform = drop(0.5, symmetric=symmetric)
        assert transform.adjacency(data).pattern is transform.adjacency(data).pattern


def test_the_order_of_the_listed_edges_does_not_matter(graph):
    data = graph(31)
    shuffled = data.edge_subgraph(torch.randperm(data.num_edges, generator=seeded()))
    for symmetric in (True, False):
        assert pairs(drop(0.5, symmetric=symmetric)(data)) == pairs(drop(0.5, symmetric=symmetric)(shuffled))


def test_it_composes_with_other_transforms(graph):
    data, numbers = graph(), seeded()
    view = Compose([DropEdges(0.5, generator=numbers), MaskFeatures(0.5, generator=numbers)])(data)
    again = seeded()
    operator = DropEdges(0.5, generator=again).adjacency(data)
    columns = MaskFeatures(0.5, generator=again).columns(data)
    torch.testing.assert_close(operator.to_dense(), by_pyg(view))
    assert torch.equal(view.x, data.x * columns)


def test_what_it_is_can_be_read():
    assert repr(DropEdges(0.25)) == "DropEdges(0.25, symmetric=True)"
    assert repr(DropEdges(torch.zeros(3), symmetric=False)) == "DropEdges(tensor of 3, symmetric=False)"


def test_bad_probabilities_and_graphs_are_refused(graph):
    with pytest.raises(InputError, match=r"lies in 0 \.\. 1; got 1.2"):
        DropEdges(1.2)
    with pytest.raises(InputError, match="holds 4 probabilities but the graph has 27 edges"):
        DropEdges(torch.zeros(4)).adjacency(graph())
    with pytest.raises(InputError, match="expected a graph with an edge_index"):
        DropEdges(0.5)(Data(x=torch.ones(3, 2)))
