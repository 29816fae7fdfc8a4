from typing import get_args

import pytest
import torch
from torch_geometric.nn import GATConv, GINConv, SAGEConv

from graphcl.errors import InputError
from graphcl.kernels import cached_adjacency
from graphcl.models.encoders import GCN
from graphcl.models.encoders.layered_gcn import LayeredGCN
from graphcl.models.encoders.named import EncoderName, PyGEncoder, named_encoder
from graphcl.models.encoders.sgc import SGC

EDGES = torch.tensor([[0, 1, 1, 2, 3, 4], [1, 0, 2, 1, 4, 3]])
X = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)).relu()
NAMES = get_args(EncoderName)
every_name = pytest.mark.parametrize("name", NAMES)


@every_name
@pytest.mark.parametrize("norm", [False, True])
def test_every_encoder_gives_a_row_a_node_and_no_order_matters(name, norm):
    torch.manual_seed(0)
    encoder = named_encoder(name, 5, 3, hidden=6, norm=norm, activate_last=norm)
    z, order = encoder(X, EDGES), torch.randperm(7)
    assert z.shape == (7, 3)
    torch.testing.assert_close(encoder(X[order], order.argsort()[EDGES]), z[order], rtol=1e-4, atol=1e-5)
    z.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in encoder.parameters())


@every_name
def test_sparse_features_and_masked_columns_are_the_same_numbers(name):
    encoder, columns = named_encoder(name, 5, 3, hidden=6), torch.tensor([1.0, 0, 1, 0, 1])
    want = encoder(X * columns, EDGES)
    for x in (X, X.to_sparse_csr()):
        torch.testing.assert_close(encoder(x, EDGES, columns=columns), want)


def test_names_mean_what_they_say():
    assert isinstance(named_encoder("gcn", 5, 3, activation="prelu"), GCN)
    assert isinstance(named_encoder("gcn", 5, 3, norm=True), LayeredGCN)
    assert isinstance(named_encoder("gcn", 5, 3, activation="elu"), LayeredGCN)
    assert not hasattr(named_encoder("mlp", 5, 3).products[0], "weights")
    assert isinstance(named_encoder("sgc", 5, 3, layers=3), SGC)
    assert named_encoder("sgc", 5, 3, layers=3).hops == 3
    for name, conv in (("sage", SAGEConv), ("gat", GATConv), ("gin", GINConv)):
        encoder = named_encoder(name, 5, 3, layers=3)
        assert [type(layer) for layer in encoder.network.convs] == [conv] * 3


def test_networks_of_pyg_are_pygs():
    encoder = PyGEncoder("sage", 5, 3, hidden=6, activation="elu", activate_last=True)
    first, second = encoder.network.convs
    want = torch.nn.functional.elu(second(torch.nn.functional.elu(first(X, EDGES)), EDGES))
    torch.testing.assert_close(encoder(X, EDGES), want)


@every_name
@pytest.mark.parametrize("size", ["in_features", "out_features", "hidden", "layers"])
def test_sizes_out_of_range_are_refused(name, size):
    if name == "sgc" and size in ("hidden", "layers"):
        return
    with pytest.raises(InputError, match="must be >= 1; got 0"):
        named_encoder(name, **{"in_features": 5, "out_features": 3, size: 0})


@every_name
def test_another_width_is_refused(name):
    with pytest.raises(InputError, match=r"\(7, 4\)"):
        named_encoder(name, 5, 3)(torch.ones(7, 4), EDGES)


def test_unknown_names_and_operators_for_pyg_are_refused():
    with pytest.raises(InputError, match="unknown encoder 'gcnn'; did you mean gcn"):
        named_encoder("gcnn", 5, 3)
    with pytest.raises(InputError, match="unknown encoder 'pna'"):
        PyGEncoder("pna", 5, 3)
    with pytest.raises(InputError, match="unknown activation 'swish'"):
        PyGEncoder("gat", 5, 3, activation="swish")
    with pytest.raises(InputError, match="take edges"):
        named_encoder("gin", 5, 3)(X, cached_adjacency(EDGES, 7))
