import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.evaluation import clustering_scores, kmeans
from graphcl.models.clustering import SCGCK
from graphcl.training import ClusteringSystem, Trainer, TrainingConfig, deterministic, seed_everything

SMALL = {"hidden": 8, "width": 4, "n_init": 3, "pretrain_epochs": 2, "temperature": 0.8}


def small(seed=0, **options):
    torch.manual_seed(seed)
    return SCGCK(6, 3, **{**SMALL, **options})


def started(data, **options):
    system = small(**options)
    system.on_epoch_start(0, data)
    return system


def fit(data, seed=0, epochs=5, **options):
    with deterministic():
        seed_everything(seed)
        system = SCGCK(6, 3, **{**SMALL, **options})
        state = Trainer(TrainingConfig(epochs=epochs, lr=5e-3, device="cpu")).fit(system, data)
    return system, state


@pytest.mark.parametrize("decoder", [False, True])
@pytest.mark.parametrize(("influence", "order"), [(True, 1), (True, 3), (False, 3)])
def test_a_step_is_the_published_objective(decoder, influence, order, blocks, operator):
    data = blocks(weighted=True, isolated=1)
    system = started(data, decoder=decoder, influence=influence, order=order, contrast=0.7, self_training=0.4).double()
    data.x, data.edge_weight = data.x.double(), data.edge_weight.double()
    a, z = operator(data), system.embed(data)
    powers = [torch.linalg.matrix_power(a, r) for r in range(1, order + 1)]
    m = sum(powers) if influence else powers[-1]
    u = F.normalize(z, dim=1)
    e = ((u @ u.T).fill_diagonal_(0) / 0.8).exp()
    contrast = -((m * e).sum(1) / e.sum(1) + 1e-8).log().mean()
    q = 1 / (1 + (z[:, None] - system.centres.detach()).square().sum(2))
    q /= q.sum(1, keepdim=True)
    p = q**2 / q.sum(0)
    p /= p.sum(1, keepdim=True)
    sharpen = (p * (p / q).log()).sum(1).mean()
    terms = system.training_step(data)
    torch.testing.assert_close(terms["contrast"], contrast, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(terms["self_training"], sharpen)
    want = 0.7 * contrast + 0.4 * sharpen
    if decoder:
        want = want + F.mse_loss(system.autoencoder.decode(z), data.x).detach()
    torch.testing.assert_close(terms["loss"].detach(), want, rtol=1e-5, atol=1e-6)
    assert ("reconstruction" in terms) == decoder


def test_embedding_needs_no_graph(blocks):
    data = blocks()
    system = started(data)
    bare = data.clone()
    bare.edge_index = torch.zeros(2, 0, dtype=torch.int64)
    assert torch.equal(system.embed(bare), system.embed(data))


def test_the_decoder_is_half_of_the_parameters():
    whole, half = (sum(p.numel() for p in SCGCK(20, 3, decoder=kept).parameters()) for kept in (True, False))
    assert 0.49 < half / whole < 0.51


def test_the_first_epoch_pre_trains_and_places_the_centres_and_no_other_does(blocks):
    data, system = blocks(), small()
    assert isinstance(system, ClusteringSystem)
    assert system.assign(system.embed(data)) is None
    system.on_epoch_start(0, data)
    z = system.embed(data)
    assert clustering_scores(kmeans(z.numpy(), 3, seed=0).labels, system.initial.labels)["acc"] == 1
    assert system.initial.seconds > 0
    torch.testing.assert_close(system.assign(z).sum(1), torch.ones(31))
    centres = system.centres.detach().clone()
    system.on_epoch_start(1, data)
    assert torch.equal(system.centres, centres)


def test_a_bound_on_the_positives_is_logged_where_it_cuts(blocks):
    data = blocks()
    assert "dropped" not in started(data, order=2).training_step(data)
    assert 0 < started(data, order=2, max_fill=3).training_step(data)["dropped"] < 1


def test_sparse_features_give_the_same_loss_and_gradients(blocks, step):
    data = blocks()
    data.x = data.x.relu()
    system = started(data, decoder=True)
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": 0}, "order must be >= 1; got 0"),
        ({"contrast": -1.0}, "contrast must be >= 0; got -1.0"),
        ({"self_training": -1.0}, "self_training must be >= 0; got -1.0"),
        ({"pretrain_epochs": -1}, "pretrain_epochs must be >= 0; got -1"),
        ({"n_init": 0}, "n_init must be >= 1; got 0"),
        ({"max_fill": 0}, "max_fill must be >= 1; got 0"),
        ({"temperature": 0.0}, "temperature must be > 0"),
        ({"width": 0}, "width must be >= 1; got 0"),
    ],
)
def test_hyper_parameters_out_of_range_are_named(options, message):
    with pytest.raises(InputError, match=message):
        small(**options)
