import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
import torch

from graphcl.datasets import from_networkx, from_scipy
from graphcl.errors import InputError


def test_a_networkx_graph_round_trips():
    graph = nx.gnp_random_graph(20, 0.2, seed=0)
    for node in graph:
        graph.nodes[node].update(f=float(node), v=[node, 1.0], club="odd" if node % 2 else "even")
    before = nx.to_dict_of_dicts(graph)
    data = from_networkx(graph, features=["f", "v"], label="club")
    assert {tuple(pair) for pair in data.edge_index.T.tolist()} == set(graph.to_directed().edges)
    assert data.x.shape == (20, 3)
    assert data.x[7].tolist() == [7, 7, 1]
    assert data.y.tolist() == [node % 2 for node in range(20)]
    assert data.class_names == ["even", "odd"]
    assert "edge_weight" not in data
    assert nx.to_dict_of_dicts(graph) == before


def test_direction_and_parallel_edges_are_merged_and_counted():
    graph = nx.MultiDiGraph([("a", "b"), ("a", "b"), ("b", "a"), ("c", "c")])
    data = from_networkx(graph)
    assert data.node_ids == ["a", "b", "c"]
    assert (data.kept.edges, data.kept.duplicates, data.kept.reciprocal, data.kept.self_loops, data.kept.isolated) == (
        1,
        1,
        1,
        1,
        1,
    )


def test_weights_are_kept_and_default_to_one():
    graph = nx.Graph()
    graph.add_edge(0, 1, weight=2.5)
    graph.add_edge(1, 2)
    assert from_networkx(graph).edge_weight.tolist() == [2.5, 2.5, 1, 1]


def test_networkx_faults_name_the_node():
    graph = nx.path_graph(3)
    graph.nodes[0]["f"] = 1
    with pytest.raises(InputError, match="node '1' lacks the attribute 'f'"):
        from_networkx(graph, features=["f"])
    nx.set_node_attributes(graph, "word", "f")
    with pytest.raises(InputError, match="node attribute 'f': expected a number"):
        from_networkx(graph, features=["f"])
    with pytest.raises(InputError, match="node attribute 'club': expected a class"):
        from_networkx(graph, label="club")
    with pytest.raises(InputError, match="got '1' twice"):
        from_networkx(nx.Graph([(1, "1")]))
    with pytest.raises(InputError, match="got an empty one"):
        from_networkx(nx.Graph())
    with pytest.raises(InputError, match="weights of 0 or more, got -1"):
        from_networkx(nx.Graph([(0, 1, {"weight": -1})]))


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.coo_array, sp.lil_array, np.asarray])
def test_an_adjacency_matrix_of_any_form(form):
    dense = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 1]])
    data = from_scipy(form(dense), x=sp.eye_array(3), y=["b", "a", "b"], node_ids=[10, "u", 12])
    assert data.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert "edge_weight" not in data
    assert data.x.layout == torch.sparse_csr
    assert data.y.tolist() == [1, 0, 1]
    assert data.node_ids == ["10", "u", "12"]
    assert data.kept.reciprocal == 2


def test_weights_of_an_adjacency_matrix_and_inputs_left_alone():
    matrix = sp.csr_array(np.array([[0, 2.0, 0], [4.0, 0, 0], [0, 0, 0]]))
    matrix.data[0] = 2.0
    before, x = matrix.copy(), np.ones((3, 1), dtype=np.float32)
    data = from_scipy(matrix, x=x)
    assert data.edge_weight.tolist() == [3, 3]
    data.x[0] = 9
    assert x[0] == 1
    assert (matrix != before).nnz == 0


def test_stored_zeros_are_no_edges():
    matrix = sp.csr_array(([1.0, 0.0], ([0, 1], [1, 2])), shape=(3, 3))
    assert from_scipy(matrix).kept.edges == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"adjacency": np.ones((2, 3))}, r"square adjacency matrix, got shape \(2, 3\)"),
        ({"adjacency": np.array([[0, -1], [-1, 0]])}, "weights of 0 or more, got -1"),
        ({"adjacency": np.ones((2, 2)), "x": np.ones((3, 1))}, "expected 2 rows in x, .* got 3"),
        ({"adjacency": np.ones((2, 2)), "y": [1, 2, 3]}, "expected 2 rows in y"),
        ({"adjacency": np.ones((2, 2)), "y": np.ones((2, 2))}, "expected one class a node"),
        ({"adjacency": np.ones((2, 2)), "node_ids": ["a"]}, "expected 2 rows in node_ids"),
        ({"adjacency": np.ones((2, 2)), "node_ids": ["a", "a"]}, "got 'a' twice"),
        ({"adjacency": np.ones((2, 2)), "x": np.array([[1.0], [np.nan]])}, "got nan in row 1, column 0"),
    ],
)
def test_parts_that_do_not_fit_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        from_scipy(**options)
