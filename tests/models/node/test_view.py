import pytest
import torch
from torch_geometric.data import Data

from graphcl.augment import DropEdges, MaskFeatures
from graphcl.errors import InputError
from graphcl.models.encoders.named import named_encoder
from graphcl.models.node.view import View, embed_whole, node_features


@pytest.mark.parametrize("name", ["gcn", "mlp", "sage", "gat"])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
def test_a_view_is_what_the_transforms_draw(graph, name, sparse, symmetric):
    data, encoder = graph(sparse=sparse), named_encoder(name, 9, 4, hidden=6)
    torch.manual_seed(0)
    z = View(0.4, 0.3, symmetric=symmetric).encode(encoder, data)
    torch.manual_seed(0)
    view = MaskFeatures(0.3)(DropEdges(0.4, symmetric=symmetric)(data))
    torch.testing.assert_close(z, encoder(view.x, view.edge_index), rtol=1e-4, atol=1e-5)
    assert not torch.equal(View(0.4, 0.3).encode(encoder, data), z)


def test_one_draw_may_be_shown_to_several_encoders(graph):
    data, first, second = graph(), named_encoder("gcn", 9, 4), named_encoder("gcn", 9, 4)
    second.load_state_dict(first.state_dict())
    view = View(0.5, 0.5).draw(data)
    assert torch.equal(view(first), view(second))


@pytest.mark.parametrize("sparse", [False, True])
def test_rows_are_divided_by_the_sums_of_their_sizes_once(sparse):
    x = torch.tensor([[1.0, -3.0, 0.0], [0.0, 0.0, 0.0], [0.0, 2.0, 2.0]])
    data = Data(x=x.to_sparse_csr() if sparse else x)
    got = node_features(data, row_normalise=True)
    want = torch.tensor([[0.25, -0.75, 0.0], [0.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
    torch.testing.assert_close(got.to_dense() if sparse else got, want)
    assert got.layout == data.x.layout
    assert node_features(data, row_normalise=True) is got
    assert node_features(data) is data.x


def test_normalised_rows_reach_view_and_embedding(graph):
    data, encoder = graph(), named_encoder("gcn", 9, 4)
    scaled = Data(x=node_features(data, row_normalise=True), edge_index=data.edge_index)
    torch.manual_seed(0)
    z = View(0.4, 0.3).encode(encoder, data, row_normalise=True)
    torch.manual_seed(0)
    assert torch.equal(View(0.4, 0.3).encode(encoder, scaled), z)
    assert torch.equal(embed_whole(encoder, encoder, data, row_normalise=True), encoder(scaled.x, scaled.edge_index))


def test_the_mode_is_put_back_also_after_an_error(graph):
    encoder = named_encoder("gcn", 9, 4, norm=True)
    embed_whole(encoder, encoder, graph())
    assert encoder.training
    with pytest.raises(InputError, match="made for 9 features"):
        embed_whole(encoder, encoder, graph(f=4))
    assert encoder.training


def test_no_features_are_refused():
    with pytest.raises(InputError, match="the graph has none: give it an x"):
        node_features(Data(edge_index=torch.zeros(2, 0, dtype=torch.long), num_nodes=2))
