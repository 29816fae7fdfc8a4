import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric import EdgeIndex
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import to_dense_adj

from graphcl.errors import InputError
from graphcl.kernels.adjacency import Adjacency
from graphcl.kernels.propagate import propagate

F64 = torch.float64


def random_graph(num_nodes, num_edges, *, undirected=False, weighted=True, seed=0):
    torch.manual_seed(seed)
    edge_index = torch.randint(num_nodes, (2, num_edges))
    weight = torch.rand(num_edges, dtype=F64) if weighted else torch.ones(num_edges, dtype=F64)
    if undirected:
        edge_index, weight = torch.cat([edge_index, edge_index.flip(0)], dim=1), torch.cat([weight, weight])
    return edge_index, weight


def dense_operator(edge_index, weight, num_nodes, normalize, self_loops):
    """The definition, entry by entry."""
    dense = torch.zeros(num_nodes, num_nodes, dtype=F64)
    looped = set()
    for (source, target), w in zip(edge_index.t().tolist(), weight.tolist(), strict=True):
        dense[target, source] += w
        looped |= {source} if source == target else set()
    if self_loops:
        for node in set(range(num_nodes)) - looped:
            dense[node, node] = 1.0
    degree = dense.sum(1)
    inverse = torch.where(degree > 0, degree ** (-0.5 if normalize == "sym" else -1.0), 0.0)
    if normalize == "sym":
        return inverse[:, None] * dense * inverse
    return inverse[:, None] * dense if normalize == "row" else dense


@pytest.mark.parametrize("self_loops", [True, False])
@pytest.mark.parametrize("normalize", ["sym", "row", None])
@pytest.mark.parametrize(
    ("num_nodes", "num_edges", "undirected"), [(1, 0, False), (1, 3, True), (7, 20, False), (7, 9, True), (257, 600, True)]
)
def test_the_operator_is_the_one_of_the_formula(num_nodes, num_edges, undirected, normalize, self_loops):
    edge_index, weight = random_graph(num_nodes, num_edges, undirected=undirected)
    adj = Adjacency.from_edge_index(edge_index, num_nodes, edge_weight=weight, normalize=normalize, self_loops=self_loops)
    want = dense_operator(edge_index, weight, num_nodes, normalize, self_loops)
    torch.testing.assert_close(adj.to_dense(), want)
    torch.testing.assert_close(adj.to(dtype=torch.float32).to_dense(), want.float())


@pytest.mark.parametrize("self_loops", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_symmetric_normalisation_gives_the_numbers_of_gcn_norm(weighted, self_loops):
    torch.manual_seed(0)
    pairs = torch.randperm(31 * 31)[:200]  # no duplicates; with loops, directed, and with nodes that nothing reaches
    edge_index = torch.stack([pairs // 31, pairs % 31])
    edge_index = edge_index[:, edge_index[1] > 4]
    weight = torch.rand(edge_index.size(1)) if weighted else None
    index, value = gcn_norm(edge_index, weight, 31, add_self_loops=self_loops)
    want = to_dense_adj(index, edge_attr=value, max_num_nodes=31)[0].t()
    adj = Adjacency.from_edge_index(edge_index, 31, edge_weight=weight, self_loops=self_loops)
    torch.testing.assert_close(adj.to_dense(), want)


def test_messages_flow_from_the_first_row_to_the_second():
    adj = Adjacency.from_edge_index(torch.tensor([[0], [1]]), 2, normalize=None, self_loops=False)
    assert propagate(adj, torch.tensor([3.0, 0.0])).tolist() == [0.0, 3.0]


def test_rows_sum_to_one_and_isolated_nodes_to_zero():
    edge_index = torch.tensor([[0, 1, 1, 3], [1, 0, 3, 1]])
    assert Adjacency.from_edge_index(edge_index, 5, normalize="row").to_dense().sum(1).tolist() == [1.0] * 5
    bare = Adjacency.from_edge_index(edge_index, 5, normalize="row", self_loops=False)
    assert bare.to_dense().sum(1).tolist() == [1.0, 1.0, 0.0, 1.0, 0.0]
    assert bare.degree.tolist() == [1.0, 2.0, 0.0, 1.0, 0.0]
    assert Adjacency.from_edge_index(edge_index, 5, self_loops=False).values.isfinite().all()


def test_duplicates_count_twice_and_are_stored_once():
    edge_index = torch.tensor([[0, 0, 1, 0], [1, 1, 1, 1]])
    weight = torch.tensor([1.0, 2.0, 0.5, 4.0])
    adj = Adjacency.from_edge_index(edge_index, 2, edge_weight=weight, normalize=None)
    assert adj.nnz == 3
    assert adj.to_dense().tolist() == [[1.0, 0.0], [7.0, 0.5]]


@pytest.mark.parametrize(("normalize", "symmetric"), [("sym", True), (None, True), ("row", False)])
def test_symmetry_is_detected(normalize, symmetric):
    edge_index, weight = random_graph(31, 60, undirected=True)
    adj = Adjacency.from_edge_index(edge_index, 31, edge_weight=weight, normalize=normalize)
    assert adj.pattern.is_symmetric
    assert adj.is_symmetric is symmetric
    weight[0] += 1.0  # one direction of one edge
    assert not Adjacency.from_edge_index(edge_index, 31, edge_weight=weight, normalize=normalize).is_symmetric


def test_edge_index_objects_of_pyg_are_taken_as_they_are():
    edge_index, _ = random_graph(7, 20)
    wrapped = EdgeIndex(edge_index, sparse_size=(7, 7))
    assert torch.equal(Adjacency.from_edge_index(wrapped, 7).to_dense(), Adjacency.from_edge_index(edge_index, 7).to_dense())


def test_32_bit_ids_give_the_same_operator():
    edge_index, _ = random_graph(7, 20)
    assert torch.equal(
        Adjacency.from_edge_index(edge_index.int(), 7).to_dense(), Adjacency.from_edge_index(edge_index, 7).to_dense()
    )


def test_new_values_share_the_positions_and_what_is_known_about_them():
    edge_index, weight = random_graph(7, 20)
    adj = Adjacency.from_edge_index(edge_index, 7, edge_weight=weight)
    transpose = adj.pattern.transpose
    values = torch.rand(adj.nnz, dtype=F64, requires_grad=True)
    other = adj.reweight(values)
    assert other.pattern is adj.pattern
    assert other.pattern.transpose is transpose
    assert other.values is values
    torch.testing.assert_close(other.degree, other.to_dense().sum(1))
    propagate(other, torch.ones(7, dtype=F64)).sum().backward()
    assert torch.equal(values.grad, torch.ones_like(values))


def rebuilt(edge_index, weight, num_nodes, keep_pair, **options):
    kept = torch.tensor([keep_pair[frozenset(pair)] for pair in edge_index.t().tolist()], dtype=torch.bool)
    return Adjacency.from_edge_index(edge_index[:, kept], num_nodes, edge_weight=weight[kept], **options)


@settings(deadline=None, max_examples=60)
@given(
    num_nodes=st.integers(1, 9),
    num_edges=st.integers(0, 25),
    normalize=st.sampled_from(["sym", "row", None]),
    self_loops=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_dropping_undirected_edges_equals_building_from_the_others(num_nodes, num_edges, normalize, self_loops, seed):
    edge_index, weight = random_graph(num_nodes, num_edges, undirected=True, seed=seed)
    options = {"normalize": normalize, "self_loops": self_loops}
    adj = Adjacency.from_edge_index(edge_index, num_nodes, edge_weight=weight, **options)
    assert (adj.edges[0] <= adj.edges[1]).all()
    keep = torch.rand(adj.num_edges) < 0.6
    view = adj.drop_edges(keep)
    pairs = {frozenset(pair): bool(kept) for pair, kept in zip(adj.edges.t().tolist(), keep, strict=True)}
    want = rebuilt(edge_index, weight, num_nodes, pairs, **options)
    assert view.pattern is adj.pattern
    assert torch.equal(view.to_dense(), want.to_dense())
    assert torch.equal(view.degree, want.degree)
    check_gradient(view)
    # Dropping goes on from what is left, with the same edges to count against.
    again = torch.rand(adj.num_edges) < 0.6
    twice = {pair: kept and bool(also) for (pair, kept), also in zip(pairs.items(), again, strict=True)}
    assert torch.equal(view.drop_edges(again).to_dense(), rebuilt(edge_index, weight, num_nodes, twice, **options).to_dense())


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), normalize=st.sampled_from(["sym", "row", None]), self_loops=st.booleans())
def test_dropping_directed_edges_equals_building_from_the_others(seed, normalize, self_loops):
    edge_index, weight = random_graph(7, 12, seed=seed)
    edge_index = torch.cat([edge_index, torch.tensor([[0], [1]])], dim=1)[:, : 12 + int(not (edge_index == 1).any())]
    weight = torch.cat([weight, weight[:1]])[: edge_index.size(1)]
    options = {"normalize": normalize, "self_loops": self_loops}
    adj = Adjacency.from_edge_index(edge_index, 7, edge_weight=weight, **options)
    keep = torch.rand(adj.num_edges) < 0.6
    as_listed = frozenset if adj.pattern.is_symmetric else tuple
    chosen = {as_listed(pair): bool(kept) for pair, kept in zip(adj.edges.t().tolist(), keep, strict=True)}
    kept = torch.tensor([chosen[as_listed(pair)] for pair in edge_index.t().tolist()], dtype=torch.bool)
    want = Adjacency.from_edge_index(edge_index[:, kept], 7, edge_weight=weight[kept], **options)
    view = adj.drop_edges(keep)
    assert torch.equal(view.to_dense(), want.to_dense())
    check_gradient(view)


def check_gradient(adj):
    x = torch.randn(adj.num_nodes, 3, dtype=F64, requires_grad=True)
    grad = torch.randn(adj.num_nodes, 3, dtype=F64)
    propagate(adj, x).backward(grad)
    torch.testing.assert_close(x.grad, adj.to_dense().t() @ grad)


def test_a_row_normalised_regular_graph_loses_its_symmetry_with_its_edges():
    cycle = torch.arange(6)
    edge_index = torch.cat([torch.stack([cycle, cycle.roll(1)]), torch.stack([cycle.roll(1), cycle])], dim=1)
    adj = Adjacency.from_edge_index(edge_index, 6, edge_weight=torch.ones(12, dtype=F64), normalize="row")
    assert adj.is_symmetric
    keep = torch.ones(6, dtype=torch.bool)
    keep[:2] = False
    view = adj.drop_edges(keep)
    assert not view.is_symmetric
    check_gradient(view)


def test_dropping_edges_of_learned_values_sets_them_to_zero():
    edge_index = torch.tensor([[0, 1, 2, 1], [1, 0, 2, 1]])
    adj = Adjacency.from_edge_index(edge_index, 3)
    assert adj.edges.tolist() == [[0, 1, 2], [1, 1, 2]]  # the loop of node 0 was added: nobody can drop it
    values = torch.arange(1.0, 6.0, requires_grad=True)
    view = adj.reweight(values).drop_edges(torch.tensor([False, False, True]))
    assert view.to_dense().tolist() == [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 5.0]]
    view.values.sum().backward()
    assert values.grad.tolist() == [1.0, 0.0, 0.0, 0.0, 1.0]


def test_moving_returns_the_same_object_where_nothing_changes():
    adj = Adjacency.from_edge_index(torch.tensor([[0], [1]]), 2)
    assert adj.to("cpu", torch.float32) is adj
    assert adj.to(dtype=F64).pattern is adj.pattern
    assert adj.to(dtype=F64).dtype == F64
    with pytest.raises(InputError, match=r"float32 or float64; got torch\.float16"):
        adj.to(dtype=torch.float16)


def test_it_says_what_it_is():
    adj = Adjacency.from_edge_index(torch.tensor([[0], [1]]), 2)
    assert repr(adj) == "Adjacency(num_nodes=2, nnz=3, normalize='sym', self_loops=True, dtype=torch.float32, device=cpu)"


@pytest.mark.parametrize(
    ("edge_index", "options", "message"),
    [
        (torch.zeros(3, 2, dtype=torch.int64), {}, r"edge_index must be \(2, E\).*got \(3, 2\)"),
        (torch.zeros(2, 2), {}, r"got \(2, 2\) of torch\.float32"),
        (torch.tensor([[0], [2]]), {}, r"ids must be in \[0, 2\); got 0 to 2"),
        (torch.tensor([[-1], [1]]), {}, r"got -1 to 1"),
        (torch.tensor([[0], [1]]), {"edge_weight": torch.ones(2)}, r"of shape \(1,\), one per edge; got \(2,\)"),
        (torch.tensor([[0], [1]]), {"edge_weight": torch.ones(1).half()}, "float32 or float64"),
        (torch.tensor([[0], [1]]), {"edge_weight": torch.tensor([-1.0])}, "not negative; got -1.0"),
        (torch.tensor([[0], [1]]), {"edge_weight": torch.tensor([float("nan")])}, "must be finite .*; got nan"),
        (torch.tensor([[0], [1]]), {"edge_weight": torch.ones(1, requires_grad=True)}, "adj.reweight"),
        (torch.tensor([[0], [1]]), {"normalize": "col"}, "'sym', 'row' or None; got 'col'"),
    ],
)
def test_bad_graphs_are_refused(edge_index, options, message):
    with pytest.raises(InputError, match=message):
        Adjacency.from_edge_index(edge_index, 2, **options)


def test_a_negative_number_of_nodes_is_refused():
    with pytest.raises(InputError, match="num_nodes must be 0 or more; got -1"):
        Adjacency.from_edge_index(torch.zeros(2, 0, dtype=torch.int64), -1)


def test_bad_values_and_masks_are_refused():
    adj = Adjacency.from_edge_index(torch.tensor([[0, 1], [1, 0]]), 2)
    with pytest.raises(InputError, match=r"of shape \(4,\), one per stored entry .*got \(3,\)"):
        adj.reweight(torch.ones(3))
    with pytest.raises(InputError, match=r"boolean of shape \(1,\), one for each of adj.edges; got \(2,\)"):
        adj.drop_edges(torch.ones(2, dtype=torch.bool))
    with pytest.raises(InputError, match=r"got \(1,\) of torch\.float32"):
        adj.drop_edges(torch.ones(1))
