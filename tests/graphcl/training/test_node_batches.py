from __future__ import annotations

import math

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import subgraph, to_undirected

from graphcl.errors import InputError
from graphcl.kernels import adjacency_cache, cached_adjacency
from graphcl.training import NodeBatches, Trainer, TrainingConfig
from graphcl.training.node_batches import take_rows


@pytest.fixture
def graph() -> Data:
    torch.manual_seed(0)
    index = to_undirected(torch.randint(0, 61, (2, 150)), num_nodes=61)
    weight = (index.sum(0) + 1).float()
    return Data(x=torch.randn(61, 3), edge_index=index, edge_weight=weight, y=torch.arange(61))


@pytest.mark.parametrize("seeds", [2, 7, 20, 60])
def test_an_epoch_gives_every_node_its_turn_as_a_seed_in_groups_of_about_one_size(graph, seeds):
    torch.manual_seed(0)
    source = NodeBatches(graph, seeds)
    batches = list(source.batches(0))
    assert len(batches) == source.steps == min(math.ceil(61 / seeds), 61 // 2)
    sizes = [batch.batch_size for batch in batches]
    assert max(sizes) - min(sizes) <= 1
    turns = torch.cat([batch.n_id[: batch.batch_size] for batch in batches])
    assert torch.equal(turns.sort().values, torch.arange(61))


def test_a_batch_is_the_graph_induced_by_its_nodes_with_their_features_and_weights(graph):
    for batch in NodeBatches(graph, 10, fanouts=(2, 2)).batches(0):
        _, weight = subgraph(batch.n_id, graph.edge_index, graph.edge_weight, num_nodes=61)
        assert torch.equal(batch.x, graph.x[batch.n_id])
        assert batch.edge_index.shape[1] == len(weight)
        ends = batch.n_id[batch.edge_index]
        assert torch.equal(batch.edge_weight, (ends.sum(0) + 1).float())
        assert sorted(batch.keys()) == ["batch_size", "edge_index", "edge_weight", "n_id", "num_nodes", "x"]
        assert batch.num_nodes == len(batch.x)


def test_one_batch_of_all_nodes_is_the_graph_in_another_order(graph):
    (batch,) = NodeBatches(graph, 100).batches(0)
    assert batch.batch_size == batch.num_nodes == 61
    whole = cached_adjacency(graph.edge_index, 61, edge_weight=graph.edge_weight).to_dense()
    part = cached_adjacency(batch.edge_index, 61, edge_weight=batch.edge_weight).to_dense()
    torch.testing.assert_close(part, whole[batch.n_id][:, batch.n_id])


def test_it_is_the_whole_graph_too_and_the_graph_stays_as_it_is(graph):
    before = sorted(graph.keys())
    source = NodeBatches(graph, 10, steps=2)
    assert source.edge_index is graph.edge_index
    assert source.num_nodes == 61
    assert "edge_weight" in source
    assert len(list(source.batches(0))) == source.steps == 2
    assert NodeBatches(graph, 10, steps=50).steps == 7
    assert sorted(graph.keys()) == before


def test_the_operators_of_batches_go_with_the_batches(graph):
    before = len(adjacency_cache._cache)
    for batch in NodeBatches(graph, 5).batches(0):
        cached_adjacency(batch.edge_index, batch.num_nodes, edge_weight=batch.edge_weight)
        assert len(adjacency_cache._cache) == before + 1
        del batch
    assert len(adjacency_cache._cache) == before


@pytest.mark.parametrize("kind", [torch.int32, torch.int64])
def test_rows_of_sparse_features_are_those_of_dense_ones(kind):
    torch.manual_seed(0)
    dense = torch.randn(9, 4) * (torch.rand(9, 4) < 0.3)
    csr = dense.to_sparse_csr()
    csr = torch.sparse_csr_tensor(csr.crow_indices().to(kind), csr.col_indices().to(kind), csr.values(), csr.shape)
    rows = torch.tensor([8, 0, 3, 3, 5])
    taken = take_rows(csr, rows)
    assert taken.layout == torch.sparse_csr
    assert taken.crow_indices().dtype == kind
    assert torch.equal(taken.to_dense(), dense[rows])
    assert torch.equal(take_rows(dense, rows), dense[rows])


def test_the_trainer_makes_a_step_of_every_batch_and_the_seed_decides(graph, make_system):
    def train() -> tuple[list[int], torch.Tensor]:
        system, sizes = make_system(), []
        step = system.training_step
        system.training_step = lambda batch: (sizes.append(batch.batch_size), step(batch))[1]
        torch.manual_seed(5)
        Trainer(TrainingConfig(epochs=2, device="cpu")).fit(system, NodeBatches(graph, 20))
        return sizes, system.line.weight

    sizes, weight = train()
    assert len(sizes) == 8
    assert torch.equal(train()[1], weight)


def test_numbers_below_one_and_missing_features_are_refused(graph):
    with pytest.raises(InputError, match="needs 1 seed and an epoch 1 batch; got 0 seeds"):
        NodeBatches(graph, 0)
    with pytest.raises(InputError, match="got 3 seeds and 0 batches"):
        NodeBatches(graph, 3, steps=0)
    with pytest.raises(InputError, match=r"the graph has none: give it an x of shape \(N, F\)"):
        NodeBatches(Data(edge_index=graph.edge_index, num_nodes=61), 3)
