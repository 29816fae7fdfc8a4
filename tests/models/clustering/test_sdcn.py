import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.evaluation import clustering_scores, kmeans
from graphcl.models.clustering import SDCN
from graphcl.training import ClusteringSystem, Trainer, TrainingConfig, deterministic, seed_everything

SMALL = {"hidden": 8, "width": 4, "n_init": 3, "pretrain_epochs": 2}


def small(seed=0, **options):
    torch.manual_seed(seed)
    return SDCN(6, 3, **{**SMALL, **options})


def started(data, **options):
    system = small(**options)
    system.on_epoch_start(0, data)
    return system


def fit(data, seed=0, epochs=5, **options):
    with deterministic():
        seed_everything(seed)
        system = SDCN(6, 3, **{**SMALL, **options})
        state = Trainer(TrainingConfig(epochs=epochs, lr=5e-3, device="cpu")).fit(system, data)
    return system, state


def by_hand(system, x, a):
    """Embedding of the auto-encoder, its read-back, and the graph network's logits, in the published lines."""
    encoder, decoder = system.autoencoder.encoder, system.autoencoder.decoder
    h, states = x, []
    for layer in encoder[:-1]:
        h = torch.relu(layer(h))
        states.append(h)
    z = encoder[-1](h)
    back = z
    for layer in decoder[:-1]:
        back = torch.relu(layer(back))
    sigma = system.mixing
    g = torch.relu(a @ x @ system.weights[0])
    for own, weight in zip(states, system.weights[1:4], strict=True):
        g = torch.relu(a @ ((1 - sigma) * g + sigma * own) @ weight)
    return z, decoder[-1](back), a @ ((1 - sigma) * g + sigma * z) @ system.weights[4]


@pytest.mark.parametrize("mixing", [0.0, 0.5, 1.0])
def test_a_step_is_the_published_objective(mixing, blocks, operator):
    data = blocks(weighted=True, isolated=1)
    system = started(data, mixing=mixing, self_training=0.3, graph_training=0.2).double()
    data.x, data.edge_weight = data.x.double(), data.edge_weight.double()
    z, back, logits = by_hand(system, data.x, operator(data))
    q = 1 / (1 + (z[:, None] - system.centres).square().sum(2))
    q = q / q.sum(1, keepdim=True)
    p = (q**2 / q.sum(0)).detach()
    p /= p.sum(1, keepdim=True)
    kl_q, kl_g = ((p * (p.log() - other.log())).sum(1).mean() for other in (q, logits.softmax(1)))
    want = (back - data.x).square().mean() + 0.3 * kl_q + 0.2 * kl_g
    terms = system.training_step(data)
    torch.testing.assert_close(terms["loss"], want)
    torch.testing.assert_close(terms["self_training"], kl_q.detach())
    torch.testing.assert_close(terms["graph_training"], kl_g.detach())
    parameters = list(system.parameters())
    got = torch.autograd.grad(terms["loss"], parameters, allow_unused=True)
    expected = torch.autograd.grad(want, parameters, allow_unused=True)
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-10)


def test_predictions_are_those_of_the_network_asked_for(blocks, operator):
    data = blocks()
    graph, own = started(data), started(data, prediction="autoencoder")
    z, _, logits = by_hand(graph, data.x, operator(data).float())
    torch.testing.assert_close(graph.assign(graph.embed(data)), logits.softmax(1))
    torch.testing.assert_close(own.embed(data), z)
    q = own.assign(own.embed(data))
    torch.testing.assert_close(q.sum(1), torch.ones(31))
    assert not q.requires_grad


def test_without_mixing_the_graph_network_knows_nothing_of_the_auto_encoder(blocks, step):
    data = blocks()
    system = started(data, mixing=0.0, self_training=0.0)
    plain = system.embed(data)
    with torch.no_grad():
        for parameter in system.autoencoder.parameters():
            parameter.add_(1.0)
    assert torch.equal(system.embed(data), plain)


def test_the_layers_have_the_published_widths():
    shapes = [tuple(weight.shape) for weight in SDCN(20, 4).weights]
    assert shapes == [(20, 500), (500, 500), (500, 2000), (2000, 10), (10, 4)]


def test_the_first_epoch_pre_trains_and_places_the_centres_and_no_other_does(blocks, monkeypatch):
    data, system = blocks(), small()
    assert isinstance(system, ClusteringSystem)
    assert system.assign(system.embed(data)) is None
    assert system.initial is None
    system.on_epoch_start(0, data)
    z = system.autoencoder(data.x).detach()
    assert clustering_scores(kmeans(z.numpy(), 3, seed=0).labels, system.initial.labels)["acc"] == 1
    assert system.initial.seconds > 0
    centres = system.centres.detach().clone()
    system.on_epoch_start(1, data)
    assert torch.equal(system.centres, centres)


def test_sparse_features_give_the_same_loss_and_gradients(blocks, step):
    data = blocks()
    data.x = data.x.relu()
    system = started(data)
    terms, gradients = step(system, data)
    sparse = data.clone()
    sparse.x = data.x.to_sparse_csr()
    same_terms, same_gradients = step(system, sparse)
    torch.testing.assert_close(same_terms, terms)
    torch.testing.assert_close(same_gradients, gradients, rtol=1e-4, atol=1e-6)


def test_two_runs_with_one_seed_agree_to_the_last_bit_and_labels_are_not_read(blocks):
    data = blocks()
    one, state = fit(data)
    other = data.clone()
    other.y = None
    same, same_state = fit(other)
    assert state.history == same_state.history
    assert all(torch.equal(value, same.state_dict()[name]) for name, value in one.state_dict().items())
    assert fit(data, seed=1)[1].history != state.history


def test_a_saved_system_goes_on_as_it_was_without_pre_training_again(blocks):
    data = blocks()
    system, other = started(data), small(seed=5)
    other.load_state_dict(system.state_dict())
    other.on_epoch_start(3, data)
    torch.testing.assert_close(other.training_step(data), system.training_step(data), rtol=0, atol=0)


def test_groups_are_found(blocks):
    data = blocks((40, 43, 31))
    system, _ = fit(data, epochs=60, hidden=32, pretrain_epochs=40)
    labels = system.assign(system.embed(data)).argmax(1)
    assert clustering_scores(data.y, labels)["acc"] > 0.9


def test_the_target_is_sharper_than_what_it_was_made_of(blocks):
    data = blocks()
    terms = started(data).training_step(data)
    assert terms["self_training"] > 0
    assert not terms["reconstruction"].requires_grad
    assert F.relu(terms["graph_training"]) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixing": 1.5}, "mixing must lie in 0 .. 1.*got 1.5"),
        ({"self_training": -1.0}, "self_training must be >= 0; got -1.0"),
        ({"graph_training": -1.0}, "graph_training must be >= 0; got -1.0"),
        ({"pretrain_epochs": -1}, "pretrain_epochs must be >= 0; got -1"),
        ({"n_init": 0}, "n_init must be >= 1; got 0"),
        ({"hidden": 0}, "hidden must be >= 1; got 0"),
        ({"prediction": "gcm"}, "unknown prediction 'gcm'; did you mean gcn"),
    ],
)
def test_hyper_parameters_out_of_range_are_named(options, message):
    with pytest.raises(InputError, match=message):
        small(**options)


def test_one_cluster_is_refused():
    with pytest.raises(InputError, match="n_clusters must be >= 2; got 1"):
        SDCN(6, 1)
