from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from graphcl.datasets.mapped import load_mapped, save_mapped
from graphcl.datasets.stochastic_blocks import block_model
from graphcl.errors import InputError


@pytest.fixture
def graph() -> Data:
    data = block_model(30, 40, blocks=2, features=3)
    data.edge_weight = torch.arange(80.0)
    data.train_mask = torch.arange(30) < 5
    return data


def test_what_was_saved_comes_back_on_maps_and_may_be_written_to(graph, tmp_path):
    folder = save_mapped(graph, tmp_path / "large" / "mine")
    back = load_mapped(folder, name="mine", domain="large")
    for key in ("x", "y", "edge_index", "edge_weight", "train_mask"):
        assert torch.equal(back[key], graph[key]), key
    assert isinstance(np.load(folder / "x.npy", mmap_mode="c"), np.memmap)
    assert (back.provenance.name, back.provenance.domain) == ("mine", "large")
    assert back.provenance.sha256 == graph.provenance.sha256
    assert back.provenance.counts == graph.provenance.counts
    back.x[0] = 7
    assert torch.equal(load_mapped(folder).x, graph.x), "the file stays as it was"
    with pytest.raises(InputError, match="holds a graph already"):
        save_mapped(graph, folder)


def test_a_graph_without_provenance_is_known_by_its_arrays(tmp_path):
    plain = Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=3)
    first = load_mapped(save_mapped(plain, tmp_path / "a"))
    assert first.num_nodes == 3
    assert first.x is None
    assert len(first.provenance.sha256) == 64


def test_a_mapped_graph_is_sampled_and_trained_on(graph, tmp_path):
    from graphcl.training import NodeBatches

    back = load_mapped(save_mapped(graph, tmp_path))
    torch.manual_seed(0)
    mapped = list(NodeBatches(back, 8).batches(0))
    torch.manual_seed(0)
    for one, other in zip(mapped, NodeBatches(graph, 8).batches(0), strict=True):
        assert torch.equal(one.x, other.x)
        assert torch.equal(one.edge_weight, other.edge_weight)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "about.json").unlink(), "for want of about.json: write one with save_mapped"),
        (lambda folder: (folder / "about.json").write_text("{"), "about.json is damaged or was changed"),
        (lambda folder: (folder / "x.npy").unlink(), "x.npy cannot be read as an array"),
        (lambda folder: (folder / "x.npy").write_bytes(b"\x93NUMPY"), "x.npy cannot be read as an array"),
        (lambda folder: np.save(folder / "x.npy", np.zeros((30, 2))), "x.npy: expected an array of float32, got float64"),
        (lambda folder: np.save(folder / "y.npy", np.zeros(29, dtype=np.int64)), "a row for each of 30 nodes, got shape"),
        (lambda folder: np.save(folder / "edge_weight.npy", np.zeros(3, dtype=np.float32)), "3 edge weights for 80 edges"),
        (lambda folder: np.save(folder / "edge_index.npy", np.full((2, 80), 30)), "ids from 0 to 29, got 30 to 30"),
        (lambda folder: np.save(folder / "edge_index.npy", np.zeros((80, 2), dtype=np.int64)), r"expected shape \(2, E\)"),
    ],
)
def test_a_folder_that_is_damaged_is_refused(graph, tmp_path, spoil, message):
    spoil(save_mapped(graph, tmp_path / "g"))
    with pytest.raises(InputError, match=message):
        load_mapped(tmp_path / "g")


def test_later_formats_and_sparse_features_are_refused(graph, tmp_path):
    folder = save_mapped(graph, tmp_path / "g")
    about = json.loads((folder / "about.json").read_text())
    (folder / "about.json").write_text(json.dumps({**about, "format": 2}))
    with pytest.raises(InputError, match="has format 2, and this graphcl reads 1: use a newer graphcl"):
        load_mapped(folder)
    graph.x = graph.x.to_sparse_csr()
    with pytest.raises(InputError, match="x must be a dense array of float32"):
        save_mapped(graph, tmp_path / "sparse")
    assert not (tmp_path / "sparse").exists()
