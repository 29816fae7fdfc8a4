from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from graphcl.kernels import cached_adjacency
from graphcl.models.encoders import GCN, gcn, layered_gcn
from graphcl.models.encoders.layered_gcn import LayeredGCN
from graphcl.models.encoders.layerwise import ConvolutionLayer, encode_by_layers


def graph(nodes=53, features=6, sparse=False):
    torch.manual_seed(0)
    index = torch.randint(0, nodes, (2, 200))
    x = torch.randn(nodes, features, dtype=torch.float64) * (torch.rand(nodes, features) < 0.5)
    return (x.to_sparse_csr() if sparse else x), torch.cat([index, index.flip(0)], 1)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("widths", [(6, 4), (6, 9), (6, 9, 4), (6, 3, 8), (6, 12, 5, 7), (6, 6, 6)])
@pytest.mark.parametrize("rows", [1, 10, 53, 100])
def test_every_order_of_widths_gives_the_formula(widths, rows, sparse):
    x, index = graph(sparse=sparse)
    adj = cached_adjacency(index, 53).to(dtype=torch.float64)
    layers, want = [], x.to_dense() if sparse else x
    for a, b in pairwise(widths):
        layers.append(ConvolutionLayer(torch.randn(a, b).double(), torch.randn(b).double(), torch.relu if b != 5 else None))
        want = adj.to_dense() @ want @ layers[-1].weight + layers[-1].bias
        want = want if layers[-1].after is None else want.relu()
    kept = x.clone()
    torch.testing.assert_close(encode_by_layers(adj, x, layers, rows=rows), want)
    assert torch.equal(x.to_dense(), kept.to_dense()), "the features stay as they are"


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(("kind", "activation"), [("gcn", "prelu"), ("gcn", "rrelu"), ("normalised", "elu"), ("dense", "relu")])
def test_encoders_embed_large_graphs_by_layers_to_the_same_numbers(monkeypatch, kind, activation, last, sparse):
    x, index = graph(sparse=sparse)
    if kind == "gcn":
        encoder: nn.Module = GCN(6, 4, hidden=9, activation=activation, activate_last=last).double()
    else:
        encoder = LayeredGCN(
            6, 4, hidden=9, layers=3, activation=activation, norm=True, activate_last=last, graph=kind == "normalised"
        ).double()
        encoder(x, index)  # statistics of their own
    encoder.eval()
    with torch.no_grad():
        want, calls = encoder(x, index), []
        for module in (gcn, layered_gcn):
            monkeypatch.setattr(module, "LARGE", 50)
            monkeypatch.setattr(
                module, "encode_by_layers", lambda *given: (calls.append(1), encode_by_layers(*given, rows=7))[1]
            )
        torch.testing.assert_close(encoder(x, index), want)
    assert len(calls) == (0 if kind == "dense" else 1)
    encoder(x, index).sum().backward()
    assert len(calls) == (0 if kind == "dense" else 1), "with gradients a layer is there as a whole"
