from __future__ import annotations

import importlib.util
import sys
from types import SimpleNamespace

import pytest
import torch
from torch_geometric.data import Data

from graphcl.errors import InputError
from graphcl.training import CSRNeighbourSampler
from graphcl.training import partitions as module
from graphcl.training.partitions import PartitionBatches, partition

with_metis = pytest.mark.skipif(importlib.util.find_spec("pymetis") is None, reason="PyMetis is not installed")


@pytest.fixture
def rings() -> Data:
    """Four rings of ten nodes, shuffled, and nothing between them."""
    torch.manual_seed(0)
    ids = torch.arange(40)
    after = ids // 10 * 10 + (ids + 1) % 10
    index = torch.randperm(40)[torch.cat([torch.stack([ids, after]), torch.stack([after, ids])], 1)]
    return Data(x=torch.arange(40.0).unsqueeze(1), edge_index=index)


def sampler(data: Data) -> CSRNeighbourSampler:
    return CSRNeighbourSampler(data.edge_index, data.num_nodes, (-1,))


@pytest.mark.parametrize("parts", [1, 3, 4, 40])
def test_pieces_of_an_order_are_of_one_size_and_neighbours_stay_together(rings, parts):
    found = partition(sampler(rings), parts, method="order")
    sizes = torch.bincount(found.part)
    assert len(sizes) == parts
    assert int(sizes.max() - sizes.min()) <= 1
    source, target = rings.edge_index
    assert found.cut == pytest.approx(float((found.part[source] != found.part[target]).float().mean()))
    assert found.method == "order"
    if parts in (1, 4):
        assert found.cut == 0.0, "the rings are found"


@with_metis
def test_metis_finds_the_rings_and_the_seed_decides(rings):
    found, again = (partition(sampler(rings), 4, method="metis") for _ in range(2))
    assert (found.cut, found.method) == (0.0, "metis")
    assert torch.equal(found.part, again.part)


def test_metis_is_given_the_graph_and_empty_parts_do_not_count(rings, monkeypatch):
    given = {}

    def part_graph(parts, adjacency, *, options):
        given.update(parts=parts, xadj=adjacency[0], adjncy=adjacency[1], seed=options.seed)
        return 0, [2 * (node % 2) for node in range(40)]

    fake = SimpleNamespace(
        part_graph=part_graph, Options=lambda seed: SimpleNamespace(seed=seed), CSRAdjacency=lambda *pair: pair
    )
    first = rings.edge_index[:, :1]  # METIS reads beyond its arrays where one direction is missing, or where there are loops
    more = torch.cat([rings.edge_index, first, first[:1].expand(2, 1)], 1)
    lacking = Data(edge_index=more[:, 1:], num_nodes=40)
    monkeypatch.setitem(sys.modules, "pymetis", fake)
    monkeypatch.setattr(module, "find_spec", lambda name: fake)
    found = partition(sampler(lacking), 3, seed=9)
    assert found.part.tolist() == [node % 2 for node in range(40)]
    assert (found.method, given["parts"], given["seed"]) == ("metis", 3, 9)
    assert given["xadj"].tolist() == list(range(0, 81, 2))
    neighbours = {(int(a), int(b)) for a, b in rings.edge_index.T}
    assert {(node, int(other)) for node in range(40) for other in given["adjncy"][2 * node : 2 * node + 2]} == neighbours


def test_without_pymetis_it_says_what_stands_in(rings, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.warns(UserWarning, match="PyMetis is not installed: parts are pieces of an order"):
        assert partition(sampler(rings), 4).method == "order"
    with pytest.raises(InputError, match="which is not installed: pip install pymetis, or take method='order'"):
        partition(sampler(rings), 4, method="metis")


@pytest.mark.parametrize("batch_nodes", [2, 9, 10, 25, 40, 100])
def test_every_node_is_in_one_batch_of_an_epoch_and_epochs_differ(rings, batch_nodes):
    torch.manual_seed(0)
    source = PartitionBatches(rings, batch_nodes, method="order")
    epochs = [list(source.batches(epoch)) for epoch in (0, 1)]
    for batches in epochs:
        assert len(batches) == source.steps == -(-40 // batch_nodes)
        assert torch.equal(torch.cat([batch.n_id for batch in batches]).sort().values, torch.arange(40))
        for batch in batches:
            assert batch.batch_size == batch.num_nodes == len(batch.x)
            assert torch.equal(batch.x, rings.x[batch.n_id])
    if len(epochs[0]) > 1:
        assert any(not torch.equal(a.n_id, b.n_id) for a, b in zip(*epochs, strict=True))


def test_what_makes_no_parts_is_refused(rings):
    for parts in (0, 41):
        with pytest.raises(InputError, match=f"parts must lie in 1 .. 40, the number of nodes; got {parts}"):
            partition(sampler(rings), parts, method="order")
    with pytest.raises(InputError, match="unknown method 'metsi'; did you mean metis"):
        partition(sampler(rings), 3, method="metsi")
    with pytest.raises(InputError, match="batch_nodes must be >= 2, the nodes of a batch; got 1"):
        PartitionBatches(rings, 1)
    with pytest.raises(InputError, match="the graph has none"):
        PartitionBatches(Data(edge_index=rings.edge_index, num_nodes=40), 3)
