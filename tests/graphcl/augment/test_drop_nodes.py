import pytest
import torch
from torch_geometric.data import Data

from graphcl.augment import DropNodes
from graphcl.errors import InputError


def drop(p, seed=0):
    return DropNodes(p, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("p", [0.0, 0.4, 0.9])
def test_the_view_is_the_induced_subgraph_and_says_whose_rows_it_has(graph, sparse, p):
    data = graph(sparse=sparse, weighted=True)
    before = {key: value.clone() for key, value in data.to_dict().items()}
    view = drop(p)(data)
    index = view.node_index
    assert torch.equal(view.y, data.y[index])
    assert view.x.layout == data.x.layout
    features = (view.x, data.x) if not sparse else (view.x.to_dense(), data.x.to_dense())
    assert torch.equal(features[0], features[1][index])
    adjacency = torch.zeros(13, 13)
    adjacency[tuple(data.edge_index)] = data.edge_weight
    cut = torch.zeros(len(index), len(index))
    cut[tuple(view.edge_index)] = view.edge_weight
    assert torch.equal(cut, adjacency[index][:, index])
    assert view.num_nodes == len(index)
    assert set(data.to_dict()) == set(before)
    assert all(torch.equal(_dense(data[key]), _dense(value)) for key, value in before.items()), "left as it was"


def _dense(x):
    return x if x.layout == torch.strided else x.to_dense()


def test_a_view_of_a_view_speaks_of_the_first_graph(graph):
    data = graph(41)
    first = drop(0.4, 1)(data)
    second = drop(0.4, 2)(first)
    assert len(second.y) < len(first.y) < 41
    assert torch.equal(second.node_index, second.y), "y counts the nodes of the first graph"


def test_nodes_go_as_often_as_they_should():
    data = Data(edge_index=torch.zeros(2, 0, dtype=torch.long), num_nodes=10_000)
    view = drop(0.3)(data)
    assert abs(view.num_nodes / 10_000 - 0.7) < 0.02
    assert view.num_nodes == len(view.node_index)


def test_each_node_may_have_a_probability_of_its_own(graph):
    p = torch.zeros(13)
    p[[2, 12]] = 1
    assert drop(p)(graph()).node_index.tolist() == [0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11]


@pytest.mark.parametrize("n", [1, 7])
def test_one_node_always_stays(n):
    data = Data(x=torch.arange(float(n))[:, None], edge_index=torch.zeros(2, 0, dtype=torch.long))
    left = {int(drop(1.0, seed)(data).node_index) for seed in range(60)}
    assert left == set(range(n))


def test_the_generator_decides(graph):
    data = graph(41)
    assert torch.equal(drop(0.5, 3)(data).node_index, drop(0.5, 3)(data).node_index)
    assert not torch.equal(drop(0.5, 3)(data).node_index, drop(0.5, 4)(data).node_index)


def test_what_it_is_can_be_read():
    assert repr(DropNodes(0.25)) == "DropNodes(0.25)"


def test_bad_probabilities_are_refused(graph):
    with pytest.raises(InputError, match=r"lies in 0 \.\. 1; got 2"):
        DropNodes(2)
    with pytest.raises(InputError, match="holds 4 probabilities but the graph has 13 nodes"):
        DropNodes(torch.zeros(4))(graph())
