import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from graphcl.errors import InputError
from graphcl.evaluation import clustering_scores, kmeans
from graphcl.models.clustering.dink_net import DinkNet
from graphcl.training import ClusteringSystem, Trainer, TrainingConfig, deterministic, seed_everything

SMALL = {"width": 8, "hops": 2, "pretrain_epochs": 3, "n_init": 3, "drop_features": 0.0}


def small(seed=0, **options):
    torch.manual_seed(seed)
    return DinkNet(6, 3, **{**SMALL, **options})


def started(data, **options):
    system = small(**options)
    system.on_epoch_start(0, data)
    return system


def fit(data, seed=0, epochs=5, lr=5e-3, **options):
    with deterministic():
        seed_everything(seed)
        system = DinkNet(6, 3, **{**SMALL, **options})
        state = Trainer(TrainingConfig(epochs=epochs, lr=lr, device="cpu")).fit(system, data)
    return system, state


def dense_operator(data):
    n = data.num_nodes
    a = torch.eye(n, dtype=torch.float64)
    a[data.edge_index[1], data.edge_index[0]] = data.edge_weight.double() if "edge_weight" in data else 1
    root = a.sum(1).rsqrt()
    return root[:, None] * a * root


def dense_convolution(system, data, x):
    slope = system.encoder.activation.weight.double()
    return F.prelu(dense_operator(data) @ x @ system.encoder.weights[0].double() + system.encoder.biases[0].double(), slope)


def dense_embedding(system, data):
    h = dense_convolution(system, data, data.x.double())
    return F.normalize(h + torch.linalg.matrix_power(dense_operator(data), system.hops) @ h, dim=1)


def dense_discrimination(system, data, order):
    x, scores = data.x.double(), []
    for features in (x, x[order]):
        h = dense_convolution(system, data, features)
        scores.append(8 * (h @ system.score_weight.double() + system.score_bias.double()))
    target = torch.cat([torch.ones(len(x)), torch.zeros(len(x))]).double()
    return F.binary_cross_entropy_with_logits(torch.cat(scores), target)


def pairs(centres):
    return (centres[:, None] - centres).square().sum(2)[~torch.eye(len(centres), dtype=torch.bool)]


@pytest.mark.parametrize("objective", ["published", "bounded"])
def test_a_step_is_the_loss_that_is_written_down_and_its_gradient(objective, blocks, step):
    data = blocks(weighted=True, isolated=1)
    system = started(data, objective=objective, discrimination=0.7)
    with torch.no_grad():
        system.centres += 0.1 * torch.randn_like(system.centres)
    torch.manual_seed(4)
    terms, gradients = step(system, data)
    torch.manual_seed(4)
    disc = dense_discrimination(system, data, torch.randperm(data.num_nodes))
    h, c = dense_embedding(system, data).detach(), system.centres.double()
    if objective == "published":
        dilation, shrink = -pairs(c).mean(), (h[:, None] - c).square().sum(2).mean()
    else:
        c = F.normalize(c, dim=1)
        nearest = (h[:, None] - c).square().sum(2).argmin(1)
        dilation, shrink = -(pairs(c) / 4).log().mean(), (h - c[nearest]).square().sum(1).mean()
    want = dilation + shrink + 0.7 * disc
    torch.testing.assert_close(terms["loss"].double(), want, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(terms["dilation"].double(), dilation.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(terms["shrink"].double(), shrink.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(terms["discrimination"].double(), disc.detach(), rtol=1e-4, atol=1e-5)
    named = dict(system.named_parameters())
    wanted = torch.autograd.grad(want, list(named.values()))
    for name, gradient in zip(named, wanted, strict=True):
        torch.testing.assert_close(gradients[name], gradient.to(gradients[name]), rtol=1e-3, atol=1e-5)


def test_the_published_losses_know_the_data_by_its_mean_alone_and_have_no_lower_bound(blocks):
    data, other = blocks(), blocks(seed=1)
    system = started(data, objective="published")
    h, c = system.embed(data).double(), system.centres.detach().double()
    k, middle = len(c), c.mean(0)
    dilation, shrink = ((c[:, None] - c).square().sum() / k**2), (h[:, None] - c).square().sum(2).mean()
    short = 1 - c.square().sum(1).mean() - 2 * h.mean(0) @ middle + 2 * middle @ middle
    torch.testing.assert_close(shrink - dilation, short)
    values = []
    for scale in (1, 10, 100):
        with torch.no_grad():
            system.centres.copy_(scale * (c - middle))
        values.append(float(system.training_step(other)["loss"].detach()))
    assert values[2] < values[1] < values[0]
    assert values[2] < -100


@pytest.mark.parametrize("objective", ["published", "bounded"])
def test_the_encoder_gets_no_gradient_from_the_clusters(objective, blocks, step):
    data = blocks()
    _, gradients = step(started(data, objective=objective, discrimination=0.0), data)
    assert all(not bool(gradients[name].any()) for name in gradients if name != "centres")
    assert bool(gradients["centres"].any())


def test_the_bounded_losses_are_never_below_zero_and_zero_at_two_opposite_points(blocks):
    data = blocks()
    for seed in range(5):
        system = small(seed)
        with torch.no_grad():
            system.centres.copy_(torch.randn(3, 8) * 10 ** (seed - 2))
        terms = system.training_step(data)
        assert terms["dilation"] >= 0
        assert terms["shrink"] >= 0
    torch.manual_seed(0)
    pair = DinkNet(6, 2, **SMALL)
    with torch.no_grad():
        pair.centres.copy_(torch.tensor([[1.0], [-3.0]]) * torch.ones(8))
    torch.testing.assert_close(pair.training_step(data)["dilation"], torch.tensor(0.0), atol=1e-6, rtol=0)


def test_pre_training_is_that_of_a_square_projector_whose_outputs_are_summed(blocks):
    """One vector under Adam moves as the column sums of the D x D weights do."""
    data, d, steps, lr = blocks(), 8, 6, 1e-2
    system = small(pretrain_epochs=steps, pretrain_lr=lr).double()
    data.x = data.x.double()
    torch.manual_seed(0)
    twin = DinkNet(6, 3, **SMALL).double()
    projector = nn.Linear(d, d).double()
    with torch.no_grad():  # any rows that have the mean
        projector.weight += system.score_weight - projector.weight.mean(0)
        projector.bias += system.score_bias - projector.bias.mean()
    optimizer = torch.optim.Adam([*twin.encoder.parameters(), *projector.parameters()], lr=lr)
    torch.manual_seed(1)
    for _ in range(steps):
        order = torch.randperm(data.num_nodes)
        real, fake = (projector(dense_convolution(twin, data, x)).sum(1) for x in (data.x, data.x[order]))
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(torch.cat([real, fake]), torch.cat([real * 0 + 1, fake * 0]).detach())
        loss.backward()
        optimizer.step()
    torch.manual_seed(1)
    system.pretrain(data)
    torch.testing.assert_close(system.score_weight, projector.weight.mean(0), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(system.encoder.weights[0], twin.encoder.weights[0], rtol=1e-4, atol=1e-6)


def test_pre_training_learns_to_tell_nodes_apart(blocks):
    data = blocks((30, 33, 21))
    assert small(pretrain_epochs=0).discriminate(data) > 0.5
    system = small()
    before = torch.stack([system.discriminate(data).detach() for _ in range(20)]).mean()
    system.pretrain_epochs, system.pretrain_lr = 150, 1e-2
    assert system.pretrain(data) > 0
    after = torch.stack([system.discriminate(data).detach() for _ in range(20)]).mean()
    assert after < before - 0.1
    assert after < math.log(2)


def test_the_first_epoch_pre_trains_and_places_the_centres_and_no_other_does(blocks):
    data, system = blocks(), small()
    assert isinstance(system, ClusteringSystem)
    assert system.assign(system.embed(data)) is None
    system.on_epoch_start(0, data)
    z = system.embed(data)
    torch.testing.assert_close(z.double(), dense_embedding(system, data).detach(), rtol=1e-4, atol=1e-5)
    assert clustering_scores(kmeans(z.numpy(), 3, seed=0).labels, system.initial.labels)["acc"] == 1
    assert system.initial.seconds > 0
    torch.testing.assert_close(system.assign(z).sum(1), torch.ones(31))
    before = {name: value.clone() for name, value in system.state_dict().items()}
    system.on_epoch_start(1, data)
    assert all(torch.equal(value, before[name]) for name, value in system.state_dict().items())


def test_feature_columns_go_missing_in_training_alone(blocks):
    data, system = blocks(), small(drop_features=1.0)
    h = dense_convolution(system, data, torch.zeros_like(data.x).double())
    score = 8 * (h @ system.score_weight.double() + system.score_bias.double())
    want = (F.softplus(-score).mean() + F.softplus(score).mean()) / 2
    torch.testing.assert_close(system.discriminate(data).double(), want, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(system.embed(data).double(), dense_embedding(system, data).detach(), rtol=1e-4, atol=1e-5)


def test_a_renamed_graph_gives_the_renamed_embedding(blocks):
    data, system = blocks(weighted=True), small()
    order = torch.randperm(data.num_nodes)
    other = data.clone()
    other.x, other.edge_index = data.x[order], torch.argsort(order)[data.edge_index]
    torch.testing.assert_close(system.embed(other), system.embed(data)[order])


def test_sparse_features_give_the_same_loss_and_gradients(blocks, step):
    data = blocks()
    data.x = data.x.relu()
    system = started(data)
    sparse = data.clone()
    sparse.x = data.x.to_sparse_csr()
    found = []
    for graph in (data, sparse):
        torch.manual_seed(2)
        terms, gradients = step(system, graph)
        found.append((terms, {name: g.clone() for name, g in gradients.items()}))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("objective", ["published", "bounded"])
def test_a_saved_system_goes_on_as_it_was_without_pre_training_again(objective, blocks):
    data = blocks()
    system, other = started(data, objective=objective), small(seed=5, objective=objective)
    other.load_state_dict(system.state_dict())
    other.on_epoch_start(3, data)
    found = []
    for one in (system, other):
        torch.manual_seed(0)
        found.append((one.training_step(data), one.assign(one.embed(data))))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_two_runs_with_one_seed_agree_to_the_last_bit_and_labels_are_not_read(blocks):
    data = blocks()
    one, state = fit(data, drop_features=0.2)
    other = data.clone()
    other.y = None
    same, same_state = fit(other, drop_features=0.2)
    assert state.history == same_state.history
    assert all(torch.equal(value, same.state_dict()[name]) for name, value in one.state_dict().items())
    assert fit(data, seed=1, drop_features=0.2)[1].history != state.history


@pytest.mark.parametrize("objective", ["published", "bounded"])
def test_groups_are_found(objective, blocks):
    data = blocks((40, 43, 31))
    system, _ = fit(data, epochs=30, width=32, pretrain_epochs=40, pretrain_lr=5e-3, objective=objective)
    assert clustering_scores(data.y, system.assign(system.embed(data)).argmax(1))["acc"] > 0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width must be >= 1; got 0"),
        ({"hops": -1}, "hops must be >= 0; got -1"),
        ({"drop_features": 1.5}, "drop_features is the probability to go and lies in 0 .. 1; got 1.5"),
        ({"objective": "bound"}, "unknown objective 'bound'; did you mean bounded"),
        ({"discrimination": -1.0}, "discrimination must be >= 0; got -1.0"),
        ({"pretrain_epochs": -1}, "pretrain_epochs must be >= 0; got -1"),
        ({"pretrain_lr": 0.0}, "pretrain_lr must be > 0; got 0.0"),
        ({"n_init": 0}, "n_init must be >= 1; got 0"),
    ],
)
def test_hyper_parameters_out_of_range_are_named(options, message):
    with pytest.raises(InputError, match=message):
        small(**options)


def test_a_pre_training_that_diverges_says_so(blocks):
    data = blocks()
    with pytest.raises(InputError, match=r"pre-training diverged|not finite"):
        small(pretrain_lr=1e25, pretrain_epochs=5).pretrain(data)
