import pytest
import torch
from torch_geometric.data import Data

from graphcl.augment import MaskFeatures, mask_columns
from graphcl.errors import InputError


def mask(p, seed=0):
    return MaskFeatures(p, generator=torch.Generator().manual_seed(seed))


def dense(x):
    return x if x.layout == torch.strided else x.to_dense()


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("p", [0.0, 0.4, 1.0])
def test_a_column_is_masked_for_all_nodes_or_for_none(graph, sparse, p):
    data = graph(sparse=sparse, f=37)
    before = dense(data.x).clone()
    view = mask(p)(data)
    columns = mask(p).columns(data)
    keep = torch.ones(37) if columns is None else columns
    assert set(keep.tolist()) <= {0.0, 1.0}
    assert view.x.layout == data.x.layout
    assert torch.equal(dense(view.x), before * keep)
    assert torch.equal(dense(data.x), before), "the graph is left as it was"
    assert view.edge_index is data.edge_index


def test_columns_are_masked_as_often_as_they_should_be():
    data = Data(x=torch.ones(2, 10_000))
    assert abs(float(mask(0.3).columns(data).mean()) - 0.7) < 0.02


def test_each_column_may_have_a_probability_of_its_own(graph):
    keep = mask(torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0])).columns(graph())
    assert keep.tolist() == [1.0, 0.0, 1.0, 0.0, 1.0]


def test_nothing_to_mask_draws_nothing(graph):
    transform = mask(0.0)
    state = transform.generator.get_state()
    assert transform.columns(graph()) is None
    assert torch.equal(transform.generator.get_state(), state)


def test_the_mask_has_the_type_of_the_features():
    assert mask(0.5).columns(Data(x=torch.ones(2, 3, dtype=torch.float64))).dtype == torch.float64


def test_sparse_features_keep_their_positions(graph):
    x = graph(sparse=True).x
    masked = mask_columns(x, torch.tensor([1.0, 0, 1, 0, 0]))
    assert torch.equal(masked.col_indices(), x.col_indices())
    assert torch.equal(masked.crow_indices(), x.crow_indices())


def test_what_it_is_can_be_read():
    assert repr(MaskFeatures(0.25)) == "MaskFeatures(0.25)"
    assert repr(MaskFeatures(torch.zeros(3))) == "MaskFeatures(tensor of 3)"


def test_what_cannot_be_masked_is_refused(graph):
    with pytest.raises(InputError, match=r"lies in 0 \.\. 1; got -1"):
        MaskFeatures(-1)
    with pytest.raises(InputError, match="holds 4 probabilities but the graph has 5 feature columns"):
        MaskFeatures(torch.zeros(4))(graph())
    with pytest.raises(InputError, match=r"needs features x of shape \(N, F\); got None"):
        MaskFeatures(0.5)(Data(edge_index=torch.zeros(2, 0, dtype=torch.long), num_nodes=3))
    with pytest.raises(InputError, match=r"got \(3,\)"):
        MaskFeatures(0.5)(Data(x=torch.ones(3)))
