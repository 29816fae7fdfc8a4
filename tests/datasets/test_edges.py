import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from graphcl.datasets.edges import check_index, undirect
from graphcl.errors import InputError

N = 7
rows = st.lists(st.tuples(st.integers(0, N - 1), st.integers(0, N - 1), st.integers(0, 9)), max_size=40)


def split(triples):
    table = np.array(triples, dtype=np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2].astype(float)


@settings(max_examples=150, deadline=None)
@given(rows)
def test_unweighted_edges_are_those_of_networkx_and_every_row_is_accounted_for(triples):
    source, target, _ = split(triples)
    tidy = undirect(source, target, N)
    graph = nx.Graph((u, v) for u, v, _ in triples if u != v)
    assert {tuple(sorted(pair)) for pair in tidy.index.T.tolist()} == {tuple(sorted(edge)) for edge in graph.edges}
    assert tidy.undirected + tidy.duplicates + tidy.reciprocal + tidy.self_loops == len(triples)
    assert tidy.isolated(N) == N - graph.number_of_nodes()
    keys = tidy.index[0] * N + tidy.index[1]
    assert (np.diff(keys) > 0).all()
    assert sorted(keys) == sorted(tidy.index[1] * N + tidy.index[0])


@settings(max_examples=150, deadline=None)
@given(rows)
def test_weights_are_summed_in_a_direction_and_averaged_across(triples):
    source, target, weight = split(triples)
    tidy = undirect(source, target, N, weight)
    sums = sp.coo_array((weight, (source, target)), shape=(N, N)).toarray()
    listed = sp.coo_array((np.ones_like(weight), (source, target)), shape=(N, N)).toarray() > 0
    want = (sums + sums.T) / np.maximum(listed.astype(int) + listed.T, 1)
    np.fill_diagonal(want, 0)
    got = sp.coo_array((tidy.weight, tuple(tidy.index)), shape=(N, N)).toarray()
    np.testing.assert_allclose(got, want)
    np.testing.assert_array_equal(tidy.index, undirect(source, target, N).index)


@settings(max_examples=50, deadline=None)
@given(rows)
def test_tidying_twice_changes_nothing(triples):
    source, target, weight = split(triples)
    once = undirect(source, target, N, weight)
    twice = undirect(once.index[0], once.index[1], N, once.weight)
    np.testing.assert_array_equal(once.index, twice.index)
    np.testing.assert_array_equal(once.weight, twice.weight)
    assert (twice.duplicates, twice.self_loops, twice.one_way) == (0, 0, 0)


def test_reciprocals_are_no_duplicates():
    tidy = undirect(np.array([0, 1, 0, 2]), np.array([1, 0, 1, 2]), 3)
    assert (tidy.undirected, tidy.duplicates, tidy.reciprocal, tidy.self_loops, tidy.one_way) == (1, 1, 1, 1, 0)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (np.zeros((3, 2), dtype=int), r"expected integers of shape \(2, E\), got int64 of shape \(3, 2\)"),
        (np.zeros((2, 2)), r"got float64 of shape \(2, 2\)"),
        (np.array([[0, 1], [1, 4]]), r"from 0 to 3, got 4 in row 1, column 1; .*1-based"),
        (np.array([[0, -1], [1, 0]]), "got -1 in row 0, column 1"),
    ],
)
def test_a_bad_index_is_refused(index, message):
    with pytest.raises(InputError, match=message):
        check_index(index, 4, "file, edge_index")
