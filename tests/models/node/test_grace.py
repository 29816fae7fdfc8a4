import copy

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv

from graphcl.augment import DropEdges, MaskFeatures
from graphcl.errors import InputError
from graphcl.models.node import GRACE
from graphcl.training import Trainer, TrainingConfig

SMALL = {"hidden": 6, "projection": 7}


def graph(n=23, f=9, *, sparse=False, weighted=False):
    """Two communities with features that hint at them; the last node is isolated."""
    numbers = torch.Generator().manual_seed(0)
    y = (torch.arange(n) >= n // 2).long()
    near = torch.rand(n, n, generator=numbers) < torch.where(y[:, None] == y, 0.4, 0.05)
    near = near.triu(1)
    near[:, -1] = False
    edges = near.nonzero().T
    weight = torch.rand(edges.size(1), generator=numbers) + 0.5
    x = torch.rand(n, f, generator=numbers) + F.one_hot(y, f)
    data = Data(x=x.to_sparse_csr() if sparse else x, edge_index=torch.cat([edges, edges.flip(0)], 1), y=y)
    if weighted:
        data.edge_weight = torch.cat([weight, weight])
    return data


def by_formula(h1, h2, t):
    """Both views against all rows of both views, written down with whole matrices in double precision."""
    u1, u2 = F.normalize(h1.double()), F.normalize(h2.double())
    between, first, second = (torch.exp(s / t) for s in (u1 @ u2.T, u1 @ u1.T, u2 @ u2.T))
    there = between.sum(1) + first.sum(1) - first.diagonal()
    back = between.sum(0) + second.sum(1) - second.diagonal()
    return ((there / between.diagonal()).log().mean() + (back / between.diagonal()).log().mean()) / 2


def by_pyg(system, view):
    """The projection of a view by PyG's layers with the system's weights."""
    encoder, x = system.encoder, view.x if view.x.layout == torch.strided else view.x.to_dense()
    for weight, bias in zip(encoder.weights, encoder.biases, strict=True):
        conv = GCNConv(*weight.shape)
        weights = {"lin.weight": weight.T, "bias": bias}
        edges = (view.edge_index, view.edge_weight if "edge_weight" in view else None)
        x = encoder.activation(torch.func.functional_call(conv, weights, (x, *edges)))
    return system.projector(x)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
def test_a_step_is_the_papers_in_value_and_gradients(sparse, weighted, symmetric):
    data = graph(sparse=sparse, weighted=weighted)
    torch.manual_seed(1)
    system = GRACE(9, **SMALL, activation="prelu", symmetric_drop=symmetric, temperature=0.5)
    torch.manual_seed(2)
    loss = system.training_step(data)["loss"]
    torch.manual_seed(2)
    views = [MaskFeatures(feature)(DropEdges(edge, symmetric=symmetric)(data)) for edge, feature in ((0.2, 0.3), (0.4, 0.4))]
    want = by_formula(*(by_pyg(system, view) for view in views), 0.5)
    torch.testing.assert_close(loss.double(), want, rtol=1e-5, atol=1e-6)
    parameters = list(system.parameters())
    for got, expected in zip(torch.autograd.grad(loss, parameters), torch.autograd.grad(want, parameters), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-5)


def test_each_step_draws_fresh_views_from_torchs_generator():
    data, system = graph(), GRACE(9, **SMALL)
    torch.manual_seed(0)
    first, second = (system.training_step(data)["loss"] for _ in range(2))
    assert first != second
    torch.manual_seed(0)
    assert torch.equal(system.training_step(data)["loss"], first)


def test_whole_views_are_equal_and_only_the_hyper_parameters_of_a_view_change_it():
    data, none = graph(), dict.fromkeys(("drop_edge_1", "drop_edge_2", "drop_feature_1", "drop_feature_2"), 0.0)
    system = GRACE(9, **SMALL, **none)
    h = system.projector(system.encoder(data.x, data.edge_index))
    torch.testing.assert_close(system.training_step(data)["loss"].double(), by_formula(h, h, 0.4), rtol=1e-5, atol=1e-6)
    for name in none:
        changed = GRACE(9, **SMALL, **{**none, name: 0.5})
        changed.load_state_dict(system.state_dict())
        assert not torch.equal(changed.training_step(data)["loss"], system.training_step(data)["loss"])


@pytest.mark.parametrize("sparse", [False, True])
def test_the_embedding_is_the_encoders_output_on_the_whole_graph(sparse):
    data = graph(sparse=sparse, weighted=True)
    system = GRACE(9, **SMALL, activation="rrelu")
    z = system.embed(data)
    assert system.training
    assert system.encoder.activation.training
    assert not z.requires_grad
    assert z.shape == (23, 6)
    system.eval()
    torch.testing.assert_close(z, system.encoder(data.x, data.edge_index, data.edge_weight))
    assert torch.equal(system.embed(data), z)
    assert not system.training


def test_nodes_in_another_order_have_the_same_embeddings():
    data, system, order = graph(), GRACE(9, **SMALL), torch.randperm(23)
    moved = Data(x=data.x[order], edge_index=order.argsort()[data.edge_index])
    torch.testing.assert_close(system.embed(moved), system.embed(data)[order])


def test_the_widths_are_those_of_the_paper():
    system = GRACE(9, hidden=6, projection=7)
    assert [tuple(weight.shape) for weight in system.encoder.weights] == [(9, 12), (12, 6)]
    assert [tuple(p.shape) for p in system.projector.parameters()] == [(7, 6), (7,), (6, 7), (6,)]


def test_training_tells_nodes_apart_and_finds_the_communities():
    data, config = graph(60, 30), TrainingConfig(epochs=100, lr=1e-2, device="cpu")
    data.x = data.x - data.x.mean(0)
    torch.manual_seed(0)
    system = GRACE(30, hidden=8, projection=8)
    state = Trainer(config).fit(system, data)
    assert state.history[-1]["loss"] < state.history[0]["loss"] - 0.2
    z = F.normalize(system.embed(data))
    same = data.y[:, None] == data.y
    similar = z @ z.T
    assert similar[same].mean() > similar[~same].mean() + 0.1


def test_a_run_that_is_cut_and_resumed_ends_with_the_same_bits():
    data = graph(sparse=True)

    def start():
        torch.manual_seed(5)
        system = GRACE(9, **SMALL, activation="rrelu")
        return system, Trainer(TrainingConfig(epochs=6, device="cpu")), None

    system, trainer, _ = start()
    trainer.fit(system, data)
    cut, _, _ = start()
    state = Trainer(TrainingConfig(epochs=3, device="cpu")).fit(cut, data)
    numbers = torch.get_rng_state()
    torch.rand(100)
    resumed = copy.deepcopy(cut)
    fresh = trainer.start(resumed)
    fresh.optimizer.load_state_dict(state.optimizer.state_dict())
    fresh.epoch = state.epoch
    torch.set_rng_state(numbers)
    trainer.fit(resumed, data, fresh)
    assert all(torch.equal(a, b) for a, b in zip(system.parameters(), resumed.parameters(), strict=True))
    assert torch.equal(system.embed(data), resumed.embed(data))


def test_the_graph_is_left_as_it_was():
    data = graph(weighted=True)
    before = {key: value.clone() for key, value in data.to_dict().items()}
    system = GRACE(9, **SMALL)
    system.training_step(data)["loss"].backward()
    system.embed(data)
    assert set(data.to_dict()) == set(before)
    assert all(torch.equal(data[key], value) for key, value in before.items())


def test_everything_may_be_dropped():
    data = graph()
    system = GRACE(9, **SMALL, drop_edge_1=1.0, drop_edge_2=1.0)
    loss = system.training_step(data)["loss"]
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in system.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"projection": 0}, "projection must be >= 1; got 0"),
        ({"hidden": 0}, "hidden must be >= 1; got 0"),
        ({"drop_edge_2": 1.5}, r"drop_edge_2 .*lies in 0 \.\. 1; got 1.5"),
        ({"drop_feature_1": -0.5}, r"drop_feature_1 .*lies in 0 \.\. 1; got -0.5"),
        ({"temperature": 0.0}, "temperature must be > 0"),
        ({"activation": "swish"}, "unknown activation 'swish'"),
    ],
)
def test_hyper_parameters_out_of_range_are_named(options, message):
    with pytest.raises(InputError, match=message):
        GRACE(9, **options)


def test_graphs_it_cannot_use_are_refused():
    system = GRACE(9, **SMALL)
    bare = Data(edge_index=torch.tensor([[0], [1]]), num_nodes=2)
    for use in (system.training_step, system.embed):
        with pytest.raises(InputError, match="contrasts nodes by their features, and the graph has none"):
            use(bare)
    with pytest.raises(InputError, match="made for 9 features a node; got x of shape"):
        system.training_step(graph(f=4))
    with pytest.raises(InputError, match="at least 2 rows"):
        system.training_step(Data(x=torch.ones(1, 9), edge_index=torch.zeros(2, 0, dtype=torch.long)))
