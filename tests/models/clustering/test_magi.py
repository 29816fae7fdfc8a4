import pytest
import torch
import torch.nn.functional as F
from torch_geometric.data import Data

from graphcl.errors import InputError
from graphcl.evaluation import clustering_scores
from graphcl.evaluation.spectral import spectral_clusters
from graphcl.models.clustering.magi import MAGI
from graphcl.training import ClusteringSystem, HasEpochStart, HasFitEnd, Trainer, TrainingConfig, deterministic, seed_everything

SMALL = {"width": 7, "walks": 20, "walk_length": 2, "temperature": 0.4, "n_init": 3}


def small(seed=0, **options):
    torch.manual_seed(seed)
    return MAGI(6, 3, **{**SMALL, **options})


def fit(data, seed=0, epochs=5, lr=5e-3, **options):
    with deterministic():
        seed_everything(seed)
        system = MAGI(6, 3, **{**SMALL, **options})
        state = Trainer(TrainingConfig(epochs=epochs, lr=lr, device="cpu")).fit(system, data)
    return system, state


def dense_embedding(system, data):
    n = data.num_nodes
    a = torch.eye(n, dtype=torch.float64)
    a[data.edge_index[1], data.edge_index[0]] = data.edge_weight.double() if "edge_weight" in data else 1
    root = a.sum(1).rsqrt()
    a, h = root[:, None] * a * root, data.x.double()
    for weight, bias in zip(system.encoder.weights, system.encoder.biases, strict=True):
        h = F.leaky_relu(a @ h @ weight.double() + bias.double(), system.encoder.activation.negative_slope)
    h = h - h.min(1, keepdim=True).values
    h = h / h.max(1, keepdim=True).values
    return F.normalize(h, dim=1)


@pytest.mark.parametrize("hidden", [None, 9])
def test_a_step_is_the_published_loss_and_its_gradient(hidden, blocks, step):
    data, system = blocks(weighted=True, isolated=2), small(hidden=hidden, dropout=0.0)
    n, t = data.num_nodes, 0.4
    z = dense_embedding(system, data)
    s = z @ z.T / t
    log_z = s.masked_fill(torch.eye(n, dtype=torch.bool), -torch.inf).logsumexp(1)
    positive = system.positives(data).to_dense() > 0
    rows = [-t * (s[i, positive[i]] - log_z[i]).mean() for i in range(n) if positive[i].any()]
    assert len(rows) == n - 2
    want = torch.stack(rows).mean()
    wanted = torch.autograd.grad(want, list(system.encoder.parameters()))
    terms, gradients = step(system, data)
    torch.testing.assert_close(terms["loss"].double(), want, rtol=1e-5, atol=1e-6)
    for (name, _), gradient in zip(system.encoder.named_parameters(), wanted, strict=True):
        torch.testing.assert_close(gradients[f"encoder.{name}"], gradient.float(), rtol=1e-3, atol=1e-5)


def test_embeddings_are_unit_rows_without_negative_entries(blocks):
    data, system = blocks(), small()
    system.train()
    z = system.embed(data)
    assert system.training
    assert torch.equal(z, system.embed(data))
    assert float(z.min()) == 0
    torch.testing.assert_close(z.norm(dim=1), torch.ones(31))


def test_the_loss_is_least_where_cliques_go_to_two_orthogonal_vectors():
    half = torch.cartesian_prod(torch.arange(6), torch.arange(6))
    half = half[half[:, 0] != half[:, 1]].T
    data = Data(x=torch.eye(2).repeat_interleave(6, 0), edge_index=torch.cat([half, half + 6], 1), num_nodes=12)
    torch.manual_seed(0)
    system = MAGI(2, 2, **{**SMALL, "width": 2, "dropout": 0.0})
    with torch.no_grad():
        system.encoder.weights[0].copy_(torch.eye(2))
    s = torch.block_diag(torch.ones(6, 6), torch.ones(6, 6)) / 0.4
    least = -0.4 * (1 / 0.4 - s.masked_fill(torch.eye(12, dtype=torch.bool), -torch.inf).logsumexp(1)).mean()
    loss = system.training_step(data)["loss"]
    torch.testing.assert_close(loss, least)
    for seed in range(20):
        torch.manual_seed(seed)
        data.x = torch.rand(12, 2)
        assert system.training_step(data)["loss"].detach() >= least - 1e-6


def test_dropout_is_in_training_alone_and_of_single_values(blocks):
    data, system = blocks(), small(dropout=0.5)
    system.train()
    assert system.training_step(data)["loss"] != system.training_step(data)["loss"]
    system.eval()
    assert system.training_step(data)["loss"] == system.training_step(data)["loss"]
    system.train()
    data.x = data.x.relu()
    sparse = data.clone()
    sparse.x = data.x.to_sparse_csr()
    loss = [torch.stack([system.training_step(d)["loss"].detach() for _ in range(200)]).mean() for d in (data, sparse)]
    torch.testing.assert_close(loss[0], loss[1], rtol=0.01, atol=0)


def test_positives_are_drawn_once_and_come_back_with_the_weights(blocks):
    data, system = blocks(), small()
    assert system.positives(data) is system.positives(data)
    other = small(seed=5)
    assert not torch.equal(other.positives(data).to_dense(), system.positives(data).to_dense())
    other.load_state_dict(system.state_dict())
    assert torch.equal(other.positives(data).to_dense(), system.positives(data).to_dense())


def test_the_end_of_training_is_spectral_clustering_of_all_cosines(blocks):
    data = blocks((12, 14, 9))
    system, _ = fit(data, epochs=20)
    assert isinstance(system, ClusteringSystem)
    assert isinstance(system, HasEpochStart)
    assert isinstance(system, HasFitEnd)
    z = system.embed(data)
    q = system.assign(z)
    torch.testing.assert_close(q.sum(1), torch.ones(35))
    want = spectral_clusters(z, 3, seed=0, n_init=10)
    assert clustering_scores(want, q.argmax(1))["acc"] == 1
    system.on_epoch_start(20, data)
    assert system.assign(z) is None


def test_more_clusters_than_can_be_told_apart_are_refused_at_the_end():
    data = Data(x=torch.rand(3, 6), edge_index=torch.tensor([[0, 1], [1, 2]]), num_nodes=3)
    with pytest.raises(InputError, match="more nodes than clusters; got 3 nodes and 3"):
        small().on_fit_end(data)


def test_a_renamed_graph_gives_the_renamed_embedding(blocks):
    data, system = blocks(weighted=True), small()
    order = torch.randperm(data.num_nodes)
    other = data.clone()
    other.x, other.edge_index = data.x[order], torch.argsort(order)[data.edge_index]
    torch.testing.assert_close(system.embed(other), system.embed(data)[order])


@pytest.mark.parametrize("negatives", ["sampled", "hcl", "hard-top-k", "meta-node", "meta-node-isotropic", "hybrid"])
def test_other_negatives_train(negatives, blocks):
    data = blocks((40, 43, 31))
    system, state = fit(data, epochs=40, negatives=negatives)
    assert state.history[-1]["loss"] < state.history[0]["loss"]
    assert clustering_scores(data.y, system.assign(system.embed(data)).argmax(1))["acc"] > 0.9


def test_the_hybrid_is_within_its_tolerance_of_exact_and_meta_nodes_are_below(blocks):
    data, losses = blocks((40, 43, 31)), {}
    for negatives in ("exact", "hybrid", "meta-node"):
        system = small(negatives=negatives, dropout=0.0)
        system.on_epoch_start(0, data)
        losses[negatives] = float(system.training_step(data)["loss"].detach())
    assert -1e-6 <= losses["exact"] - losses["hybrid"] <= 0.4 * 0.01 + 1e-6
    assert losses["meta-node"] < losses["exact"]


def test_clusters_of_the_negatives_are_found_again_from_the_weights_and_the_epoch(blocks):
    data = blocks((40, 43, 31))
    system, other = small(negatives="meta-node", dropout=0.0), small(seed=5, negatives="meta-node", dropout=0.0)
    with pytest.raises(InputError, match="call on_epoch_start before the first step"):
        system.training_step(data)
    other.load_state_dict(system.state_dict())
    for one in (system, other):
        one.on_epoch_start(7, data)
    assert torch.equal(system.training_step(data)["loss"], other.training_step(data)["loss"])


def test_a_saved_system_goes_on_as_it_was(blocks, step):
    data = blocks()
    system, other = fit(data, dropout=0.0)[0], small(seed=5, dropout=0.0)
    other.load_state_dict(system.state_dict())
    assert torch.equal(other.assign(other.embed(data)), system.assign(system.embed(data)))
    torch.testing.assert_close(step(other, data), step(system, data), rtol=0, atol=0)


def test_two_runs_with_one_seed_agree_to_the_last_bit_and_labels_are_not_read(blocks):
    data = blocks()
    one, state = fit(data)
    other = data.clone()
    other.y = None
    same, same_state = fit(other)
    assert state.history == same_state.history
    assert all(torch.equal(value, same.state_dict()[name]) for name, value in one.state_dict().items())
    assert fit(data, seed=1)[1].history != state.history


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width must be >= 1; got 0"),
        ({"hidden": 0}, "hidden must be >= 1; got 0"),
        ({"walks": 0}, "walks must be >= 1; got 0"),
        ({"walk_length": 0}, "walk_length must be >= 1; got 0"),
        ({"temperature": 0.0}, "temperature must be > 0"),
        ({"slope": -0.5}, "slope must be >= 0; got -0.5"),
        ({"dropout": 1.5}, "dropout is the probability to go and lies in 0 .. 1; got 1.5"),
        ({"n_init": 0}, "n_init must be >= 1; got 0"),
        ({"negatives": "debiased"}, "negatives 'debiased' ask for one positive a node"),
        ({"negatives": "none"}, "unknown estimator of negatives"),
    ],
)
def test_hyper_parameters_out_of_range_are_named(options, message):
    with pytest.raises(InputError, match=message):
        small(**options)
