from __future__ import annotations

import warnings

import pytest
import torch
from torch_geometric.data import Data, HeteroData

from graphcl import datasets
from graphcl.errors import InputError
from graphcl.tasks.prepare import check_graph, prepare, scored_nodes


def csr(x):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return x.to_sparse_csr()


def test_a_sound_graph_passes_dense_sparse_and_without_features(planted):
    data = planted()
    check_graph(data)
    data.x = csr(data.x)
    check_graph(data)
    check_graph(datasets.load("karate"))


@pytest.mark.parametrize("thing", [HeteroData(), Data(x=torch.ones(3, 1)), "graph", None])
def test_what_is_no_graph_is_refused_with_the_ways_to_make_one(thing):
    with pytest.raises(InputError, match=rf"edge_index; got {type(thing).__name__}.*from_tables, from_networkx, from_scipy"):
        check_graph(thing)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        (torch.zeros(2, 3), r"edge_index must be \(2, E\) int64; got \(2, 3\) torch.float32"),
        (torch.zeros(3, 2, dtype=torch.long), r"edge_index must be \(2, E\) int64; got \(3, 2\) torch.int64"),
        (torch.zeros(4, dtype=torch.long), r"edge_index must be \(2, E\) int64; got \(4,\)"),
        (torch.tensor([[0, 5], [1, 0]]), "names nodes 0 .. 5 but there are 3: ids start at 0"),
        (torch.tensor([[0, -2], [1, 0]]), "names nodes -2 .. 1 but there are 3"),
    ],
)
def test_edges_of_another_shape_type_or_range_are_refused(edges, message):
    with pytest.raises(InputError, match=message):
        check_graph(Data(x=torch.ones(3, 1), edge_index=edges))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.ones(2, 4), r"one row of features for each of the 3 nodes; got shape \(2, 4\)"),
        (torch.ones(3), r"got shape \(3,\)"),
        (torch.ones(3, 0), r"got shape \(3, 0\)"),
        (torch.ones(3, 2, dtype=torch.long), r"must be of a floating type; got torch.int64: use x.float\(\)"),
        (torch.tensor([[0.0, 1], [1, float("inf")], [0, 0]]), "x is not finite in row 1, column 1"),
        (csr(torch.tensor([[0.0, 1], [1, float("nan")], [0, 0]])), "x holds values that are not finite"),
    ],
)
def test_features_of_another_shape_type_or_with_holes_are_refused(x, message):
    data = Data(x=x, edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=3)
    with pytest.raises(InputError, match=message):
        check_graph(data)


def test_given_features_are_used_as_they_are(planted):
    data = planted()
    graph, kind = prepare(data)
    assert graph is data
    assert kind == "given"


def test_positional_features_go_into_a_copy_and_are_the_same_every_time():
    data = datasets.load("karate")
    graph, kind = prepare(data, width=5)
    assert kind == "positional"
    assert data.x is None
    assert graph.x.shape == (34, 6)
    assert torch.equal(graph.edge_index, data.edge_index)
    assert torch.equal(prepare(data, width=5)[0].x, graph.x)


def test_a_tiny_graph_without_features_is_told_what_to_give():
    data = Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
    with pytest.raises(InputError, match="at least 4 nodes; got 2: give the nodes features instead"):
        prepare(data)


def test_all_nodes_are_scored_unless_some_are_marked(planted):
    data = planted()
    assert scored_nodes(data) is None
    data.unlabelled = torch.arange(41) < 2
    assert scored_nodes(data).tolist() == [False, False] + [True] * 39


def test_listed_self_loops_are_taken_out_with_their_weights_and_the_graph_stays_as_it_was():
    edges = torch.tensor([[0, 1, 1, 2], [1, 0, 1, 2]])
    data = Data(x=torch.eye(3), edge_index=edges, edge_weight=torch.tensor([2.0, 2.0, 9.0, 9.0], dtype=torch.float64))
    graph, kind = prepare(data)
    assert kind == "given"
    assert graph.edge_index.tolist() == [[0, 1], [1, 0]]
    assert graph.edge_weight.tolist() == [2.0, 2.0]
    assert graph.edge_weight.dtype == graph.x.dtype
    assert data.edge_index is edges
    assert data.edge_weight.dtype == torch.float64
