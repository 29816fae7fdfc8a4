from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphcl.errors import InputError
from graphcl.kernels.edge_list import check_graph, coalesce, plain_index

UNDIRECTED = torch.tensor([[0, 1, 1, 2, 3], [1, 0, 2, 1, 3]])  # 0-1, 1-2 and a loop at 3


@given(nodes=st.integers(1, 9), seed=st.integers(0, 99), edges=st.integers(0, 40), loops=st.booleans())
def test_entries_are_the_dense_sums_of_what_was_listed(nodes, seed, edges, loops):
    draw = torch.Generator().manual_seed(seed)
    index = torch.randint(nodes, (2, edges), generator=draw)
    weight = torch.rand(edges, generator=draw, dtype=torch.float64)
    entries, summed = coalesce(index, nodes, weight, loops)
    dense = torch.zeros(nodes, nodes, dtype=torch.float64).index_put((index[1], index[0]), weight, accumulate=True)
    listed = torch.zeros(nodes, nodes, dtype=torch.bool).index_put((index[1], index[0]), torch.tensor(True))
    if loops:
        free = ~listed.diagonal()
        dense += torch.diag(free.double())
        listed |= torch.diag(free)
    pattern = entries.pattern
    assert pattern.nnz == int(listed.sum())
    rebuilt = torch.zeros_like(dense).index_put((pattern.row.long(), pattern.col.long()), summed)
    torch.testing.assert_close(rebuilt, dense)


def test_an_undirected_edge_stands_once_and_owns_both_of_its_entries():
    entries, _ = coalesce(UNDIRECTED, 4, None, self_loops=False)
    assert entries.endpoints.tolist() == [[0, 1, 3], [1, 2, 3]]
    owners = {
        (int(row), int(col)): int(edge)
        for row, col, edge in zip(entries.pattern.row, entries.pattern.col, entries.entry_edge, strict=True)
    }
    assert owners == {(0, 1): 0, (1, 0): 0, (1, 2): 1, (2, 1): 1, (3, 3): 2}


def test_a_directed_edge_owns_its_one_entry():
    entries, _ = coalesce(torch.tensor([[0, 2], [1, 1]]), 3, None, self_loops=False)
    assert entries.endpoints.tolist() == [[0, 2], [1, 1]]
    assert entries.entry_edge.tolist() == [0, 1]


def test_added_loops_belong_to_no_edge_and_are_never_dropped():
    entries, weight = coalesce(UNDIRECTED, 4, None, self_loops=True)
    assert entries.num_edges == 3
    assert int((entries.entry_edge == 3).sum()) == 3
    dropped = entries.masked(weight, torch.zeros(3, dtype=torch.bool), refill=True)
    diagonal = entries.pattern.row == entries.pattern.col
    assert dropped.tolist() == diagonal.float().tolist()  # the listed loop at 3, dropped, turns into an added one


def test_without_refill_a_dropped_loop_is_gone():
    entries, weight = coalesce(UNDIRECTED, 4, None, self_loops=True)
    keep = torch.tensor([True, True, False])
    dropped = entries.masked(weight, keep, refill=False)
    assert float(dropped[(entries.pattern.row == 3)].sum()) == 0


def test_moving_to_where_it_is_gives_itself():
    entries, _ = coalesce(UNDIRECTED, 4, None, self_loops=False)
    assert entries.to("cpu") is entries


def test_a_plain_tensor_is_its_own_plain_index():
    assert plain_index(UNDIRECTED) is UNDIRECTED


@pytest.mark.parametrize(
    ("index", "nodes", "weight", "message"),
    [
        (torch.zeros(5, 2, dtype=torch.long), 3, None, r"must be \(2, E\).*got \(5, 2\)"),
        (torch.zeros(2, 5), 3, None, "float32"),
        (torch.tensor([[0], [3]]), 3, None, r"in \[0, 3\); got 0 to 3"),
        (torch.tensor([[-1], [0]]), 3, None, "got -1 to 0"),
        (torch.tensor([[0], [1]]), 3, torch.ones(2), r"shape \(1,\), one per edge; got \(2,\)"),
        (torch.tensor([[0], [1]]), 3, torch.tensor([-2.0]), "not negative; got -2.0"),
        (torch.tensor([[0], [1]]), 3, torch.tensor([float("nan")]), "finite"),
        (torch.tensor([[0], [1]]), 3, torch.ones(1, requires_grad=True), "reweight"),
    ],
)
def test_what_is_not_a_list_of_edges_is_refused_with_what_came(index, nodes, weight, message):
    with pytest.raises(InputError, match=message):
        check_graph(index, nodes, weight)
