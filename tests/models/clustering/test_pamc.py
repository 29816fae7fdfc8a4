import copy
import gc
import math
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from graphcl.datasets import load
from graphcl.errors import InputError
from graphcl.evaluation import clustering_scores, kmeans
from graphcl.models.clustering import PamC
from graphcl.models.recipes import find_recipe
from graphcl.negatives import Exact
from graphcl.training import (
    ClusteringSystem,
    HasEpochStart,
    HasFitEnd,
    HasMemoryEstimate,
    Trainer,
    TrainingConfig,
    deterministic,
    seed_everything,
)

SMALL = {"hidden": 16, "width": 5, "n_init": 3, "warmup": 4, "temperature": 0.5, "self_training": 5.0}


def blocks(sizes=(11, 13, 7), f=6, isolated=0, weighted=False, seed=0):
    """Groups with their own mean feature, dense inside and thin between; then nodes without an edge."""
    torch.manual_seed(seed)
    y = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    y = torch.cat([y, torch.zeros(isolated, dtype=torch.int64)])
    n, known = len(y), sum(sizes)
    same = y[:known, None] == y[:known]
    upper = (torch.rand(known, known) < torch.where(same, 0.5, 0.03)).triu(1)
    edges = upper.nonzero().T
    x = F.one_hot(y, f).float() + 0.4 * torch.randn(n, f)
    data = Data(x=x, edge_index=torch.cat([edges, edges.flip(0)], 1), y=y, num_nodes=n)
    if weighted:
        weight = torch.rand(edges.shape[1]) + 0.5
        data.edge_weight = torch.cat([weight, weight])
    return data


def small(k=3, f=6, seed=0, **options):
    torch.manual_seed(seed)
    return PamC(f, k, **{**SMALL, **options})


def clustered(data, **options):
    system = small(**options)
    system.place_centres(data)
    return system


def step(system, data):
    """Loss, terms and gradients of one step."""
    system.zero_grad(set_to_none=True)
    terms = system.training_step(data)
    terms["loss"].backward()
    return terms, {name: p.grad for name, p in system.named_parameters()}


def fit(data, seed=0, epochs=8, lr=5e-3, **options):
    with deterministic():
        seed_everything(seed)
        system = PamC(data.x.shape[1], 3, **{**SMALL, **options})
        state = Trainer(TrainingConfig(epochs=epochs, lr=lr, device="cpu")).fit(system, data)
    return system, state


def assert_same_bits(one, two):
    assert one[1].history == two[1].history
    for name, value in one[0].state_dict().items():
        assert torch.equal(value, two[0].state_dict()[name]), name


def test_it_is_a_clustering_system_with_both_hooks():
    system = small()
    assert isinstance(system, ClusteringSystem)
    assert isinstance(system, HasEpochStart)
    assert isinstance(system, HasFitEnd)


@pytest.mark.parametrize("order", [1, 2])
def test_the_warm_up_is_exact_contrast_with_neighbours(order):
    data, system = blocks(isolated=2), small(order=order, temperature=0.4)
    terms = system.training_step(data)
    z = system.embed(data).double()
    n = len(z)
    m = torch.zeros(n, n, dtype=torch.float64)
    m[data.edge_index[1], data.edge_index[0]] = 1
    m /= m.sum(1, keepdim=True).clamp(min=1)
    weights = m if order == 1 else (m + m @ m) / 2
    logits = z @ z.T / 0.4
    others = logits.masked_fill(torch.eye(n, dtype=torch.bool), -torch.inf).logsumexp(1)
    want = (others - (weights * logits).sum(1))[: n - 2].mean()
    assert terms.keys() == {"loss", "contrast"}
    torch.testing.assert_close(terms["loss"].double(), want, rtol=1e-5, atol=1e-5)


def test_a_warm_up_by_draws_estimates_the_exact_one_and_is_linear_on_large_graphs():
    data = blocks((40, 50, 30))
    exact = small(seed=1).training_step(data)["loss"]
    assert torch.equal(small(seed=1, warmup_draws=120).training_step(data)["loss"], exact), "all that there are"
    drawn = small(seed=1, warmup_draws=60)
    torch.manual_seed(0)
    losses = torch.stack([drawn.training_step(data)["loss"].detach() for _ in range(40)])
    assert losses.std() > 0
    assert abs(losses.mean() - exact) < 0.05
    assert abs(losses - exact).max() > 1e-4
    with pytest.raises(InputError, match="warmup_draws must be >= 1; got 0"):
        small(warmup_draws=0)


def test_above_twenty_thousand_nodes_a_sample_stands_for_all(monkeypatch):
    data, system = blocks((40, 50, 30)), small()
    asked = []
    monkeypatch.setattr(system.objective, "_estimator", lambda clusters: asked.append(clusters) or Exact())
    system.training_step(data)
    assert asked == [None]
    monkeypatch.setattr("graphcl.models.clustering.pamc.EVERYONE", 119)
    monkeypatch.setattr("graphcl.models.clustering.pamc.DRAWS", 20)
    assert torch.isfinite(system.training_step(data)["loss"])
    assert asked == [None], "nobody met everyone"


@pytest.mark.parametrize("options", [{}, {"proxy": "hybrid"}, {"start": "autoencoder", "pretrain_epochs": 1}])
def test_many_nodes_are_sharpened_in_parts_to_the_same_loss_and_gradients(options, monkeypatch):
    data, system = blocks((40, 50, 30)), small(**{"warmup": 0, **options})
    system.on_epoch_start(0, data)

    def step():
        system.zero_grad()
        terms = system.training_step(data)
        terms["loss"].backward()
        return [*terms.values(), *(p.grad.clone() for p in system.parameters() if p.grad is not None)]

    whole = step()
    monkeypatch.setattr("graphcl.models.clustering.pamc.MANY", 7)
    monkeypatch.setattr("graphcl.models.clustering.pamc.PART", 7)
    for a, b in zip(whole, step(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def batch_of(data, nodes):
    """The graph induced by some nodes, as batches come."""
    place = torch.full((data.num_nodes,), -1)
    place[nodes] = torch.arange(len(nodes))
    edges = place[data.edge_index]
    kept = (edges >= 0).all(0)
    weight = {"edge_weight": data.edge_weight[kept]} if "edge_weight" in data else {}
    return Data(x=data.x[nodes], edge_index=edges[:, kept], n_id=nodes, num_nodes=len(nodes), **weight)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_batch_has_the_features_that_the_whole_graph_propagated(weighted):
    data, system = blocks((40, 50, 30), weighted=weighted), small()
    whole = system.embed(data)
    nodes = torch.randperm(120)[:25]
    batch = batch_of(data, nodes)
    assert not torch.allclose(system.embed(batch), whole[nodes], atol=1e-3), "by its own edges, while nobody knows the graph"
    system.on_epoch_start(0, data)
    torch.testing.assert_close(system.embed(batch), whole[nodes])
    torch.testing.assert_close(system.embed(data), whole)
    terms, gradients = step(system, batch)
    want = system.objective(whole[nodes], batch, None)
    torch.testing.assert_close(terms["loss"], want)
    assert gradients["encoder.first.weight"].abs().max() > 0
    system.on_fit_end(data)
    assert not torch.allclose(system.embed(batch), whole[nodes], atol=1e-3), "another graph may come next"


def test_a_graph_that_brings_ids_of_its_own_is_no_batch_and_sparse_features_stay_with_theirs():
    data, system = blocks(), small()
    want = system.embed(data)
    data.n_id = torch.arange(31).flip(0)
    system.on_epoch_start(0, data)
    assert torch.equal(system.embed(data), want)
    sparse = blocks()
    sparse.x = sparse.x.relu().to_sparse_csr()
    part = batch_of(blocks(), torch.arange(20))
    part.x = part.x.relu().to_sparse_csr()
    alone = system.embed(part)
    system.on_epoch_start(0, sparse)
    assert torch.equal(system.embed(part), alone)


def test_the_graph_that_is_trained_on_is_not_kept_alive():
    data, system = blocks(), small()
    system.on_epoch_start(0, data)
    batch = batch_of(data, torch.arange(20))
    del data
    gc.collect()
    assert torch.isfinite(system.embed(batch)).all()


def test_a_system_that_was_trained_can_be_pickled():
    data = blocks()
    system, _ = fit(data)
    again = pickle.loads(pickle.dumps(system))
    assert torch.equal(again.embed(data), system.embed(data))


def test_assignments_of_many_nodes_are_those_of_all_at_once(monkeypatch):
    data, system = blocks((40, 50, 30)), small(warmup=0)
    system.on_epoch_start(0, data)
    z = system.embed(data)
    whole = system.assign(z)
    monkeypatch.setattr("graphcl.models.clustering.pamc.MANY", 7)
    monkeypatch.setattr("graphcl.models.clustering.pamc.PART", 7)
    torch.testing.assert_close(system.assign(z), whole)


def test_a_clustered_step_is_contrast_with_meta_nodes_and_self_training():
    data = blocks(weighted=True)
    system = clustered(data, contrast=0.7, self_training=3.0)
    terms = system.training_step(data)
    z = system.embed(data).double()
    n = len(z)
    q = 1 / (1 + (z[:, None] - system.centres.detach().double()).square().sum(2))
    q /= q.sum(1, keepdim=True)
    own = q.argmax(1)
    p = q**2 / q.sum(0)
    p /= p.sum(1, keepdim=True)
    sharpen = (p * (p / q).log()).sum() / n
    m = torch.zeros(n, n, dtype=torch.float64)
    m[data.edge_index[1], data.edge_index[0]] = data.edge_weight.double()
    m /= m.sum(1, keepdim=True)
    rows = []
    for i in range(n):
        others = [z[(own == c) & (torch.arange(n) != i)] for c in range(3)]
        rows.append(torch.stack([2 * z[i] @ o.mean(0) + math.log(len(o)) for o in others if len(o)]).logsumexp(0))
    contrast = (torch.stack(rows) - (m * (2 * z @ z.T)).sum(1))[m.sum(1) > 0].mean()
    torch.testing.assert_close(terms["contrast"].double(), contrast, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(terms["self_training"].double(), sharpen, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(terms["loss"].double(), 0.7 * contrast + 3 * sharpen, rtol=1e-5, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**16), sparse=st.booleans())
def test_the_order_of_nodes_does_not_change_the_loss(seed, sparse):
    data = blocks(isolated=1, weighted=True, seed=seed)
    order = torch.randperm(data.num_nodes)
    x = data.x[order]
    moved = Data(
        x=x.to_sparse_csr() if sparse else x,
        edge_index=order.argsort()[data.edge_index],
        edge_weight=data.edge_weight,
        num_nodes=data.num_nodes,
    )
    warm = small()
    torch.testing.assert_close(warm.training_step(moved), warm.training_step(data))
    late = clustered(data)
    torch.testing.assert_close(late.training_step(moved), late.training_step(data))
    torch.testing.assert_close(late.embed(moved), late.embed(data)[order])


@pytest.mark.parametrize("phase", ["warm-up", "clustered"])
def test_a_step_leaves_the_data_as_it_was(phase):
    data = blocks(weighted=True)
    before, tensors = copy.deepcopy(data), {key: data[key] for key in data.keys() if torch.is_tensor(data[key])}  # noqa: SIM118
    versions = {key: value._version for key, value in tensors.items()}
    system = small() if phase == "warm-up" else clustered(data)
    step(system, data)
    system.embed(data)
    assert set(data.keys()) == set(before.keys())
    for key, value in tensors.items():
        assert data[key] is value
        assert value._version == versions[key]
        assert torch.equal(value, before[key])
        assert not value.requires_grad


@pytest.mark.parametrize("phase", ["warm-up", "clustered"])
def test_sparse_and_dense_features_give_the_same_loss_and_gradients(phase):
    data = blocks()
    data.x = data.x.relu()
    sparse = Data(x=data.x.to_sparse_csr(), edge_index=data.edge_index, num_nodes=data.num_nodes)
    system = small() if phase == "warm-up" else clustered(data)
    (terms, gradients), (same_terms, same_gradients) = step(system, data), step(system, sparse)
    torch.testing.assert_close(same_terms, terms)
    for name, gradient in gradients.items():
        if phase == "warm-up" and name == "centres":
            assert gradient is same_gradients[name] is None
        else:
            torch.testing.assert_close(same_gradients[name], gradient, rtol=1e-4, atol=1e-5)


def test_labels_are_never_read():
    data = blocks()
    want = fit(data)
    for y in (torch.randint(-9, 9, (31,)), torch.full((31,), math.nan), torch.zeros(2, 2), "garbage", None):
        other = data.clone()
        other.y = y
        assert_same_bits(fit(other), want)
    bare = Data(x=data.x, edge_index=data.edge_index)
    assert_same_bits(fit(bare), want)


@pytest.mark.parametrize(("warmup", "epochs", "at"), [(0, 3, 0), (1, 3, 1), (4, 9, 4), (5, 5, "end"), (9, 3, "end")])
def test_centres_are_placed_exactly_once(warmup, epochs, at, monkeypatch):
    calls, now = [], []
    plain = (PamC.place_centres, PamC.on_epoch_start, PamC.on_fit_end)
    monkeypatch.setattr(PamC, "place_centres", lambda self, data: calls.append(now[-1]) or plain[0](self, data))
    monkeypatch.setattr(PamC, "on_epoch_start", lambda self, epoch, data: now.append(epoch) or plain[1](self, epoch, data))
    monkeypatch.setattr(PamC, "on_fit_end", lambda self, data: now.append("end") or plain[2](self, data))
    data = blocks()
    system, state = fit(data, warmup=warmup, epochs=epochs)
    assert calls == [at]
    assert bool(system.clustered)
    assert [("self_training" in terms) for terms in state.history] == [epoch >= warmup for epoch in range(epochs)]


def test_before_the_centres_nothing_is_assigned_and_after_rows_sum_to_one():
    data, system = blocks(), small()
    assert system.assign(system.embed(data)) is None
    system.place_centres(data)
    q = system.assign(system.embed(data))
    assert q.shape == (31, 3)
    torch.testing.assert_close(q.sum(1), torch.ones(31))


def test_centres_stay_put_during_the_warm_up():
    data, system = blocks(), small(warmup=3)
    optimizer = torch.optim.Adam(system.parameters(), lr=0.1, weight_decay=0.1)
    for epoch in range(3):
        system.on_epoch_start(epoch, data)
        step(system, data)
        optimizer.step()
        assert torch.count_nonzero(system.centres) == 0
    system.on_epoch_start(3, data)
    placed = system.centres.detach().clone()
    assert torch.count_nonzero(placed) > 0
    step(system, data)
    optimizer.step()
    assert not torch.equal(system.centres, placed)


def test_a_run_that_ends_in_the_warm_up_is_clustered_by_k_means():
    data = blocks()
    system, _ = fit(data, warmup=50, epochs=3)
    z = system.embed(data)
    labels = system.assign(z).argmax(1).numpy()
    by_hand = kmeans(z.numpy(), 3, seed=0, n_init=10).labels
    assert clustering_scores(by_hand, labels)["acc"] == 1
    for cluster in range(3):
        torch.testing.assert_close(system.centres[cluster].detach(), z[labels == cluster].mean(0), rtol=1e-4, atol=1e-4)


def test_the_seed_of_k_means_comes_from_torchs_generator():
    data, system = blocks((40, 40, 40), f=6), small(n_init=1, k=9)

    def centres(seed):
        torch.manual_seed(seed)
        system.place_centres(data)
        return system.centres.detach().clone()

    assert torch.equal(centres(1), centres(1))
    assert any(not torch.equal(centres(1), centres(seed)) for seed in (2, 3, 4))


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_cluster_without_members_survives(lost):
    data = blocks()
    system = clustered(data)
    with torch.no_grad():
        system.centres[lost] = 1e3
    assert lost not in system.assign(system.embed(data)).argmax(1)
    optimizer = torch.optim.Adam(system.parameters(), lr=1e-2)
    for _ in range(5):
        terms, gradients = step(system, data)
        assert all(term.isfinite() for term in terms.values())
        assert all(gradient.isfinite().all() for gradient in gradients.values())
        optimizer.step()
    assert all(parameter.isfinite().all() for parameter in system.parameters())


def test_all_nodes_in_one_cluster_is_still_a_step():
    data = blocks()
    system = clustered(data)
    with torch.no_grad():
        system.centres[1:] = 1e3
    terms, gradients = step(system, data)
    assert all(term.isfinite() for term in terms.values())
    assert all(gradient.isfinite().all() for gradient in gradients.values())


@pytest.mark.parametrize("phase", ["warm-up", "clustered"])
def test_isolated_nodes_take_part_without_harm(phase):
    data = blocks(isolated=3)
    data.x[-1] = 0  # not even a feature
    system = small() if phase == "warm-up" else clustered(data)
    terms, gradients = step(system, data)
    assert all(term.isfinite() for term in terms.values())
    assert all(g.isfinite().all() for g in gradients.values() if g is not None)
    assert system.embed(data).isfinite().all()


def test_embeddings_are_unit_rows_without_gradient():
    data, system = blocks(), small()
    z = system.embed(data)
    assert not z.requires_grad
    torch.testing.assert_close(z.norm(dim=1), torch.ones(31))


def test_edge_weights_count():
    data = blocks()
    system = clustered(data)
    bare = system.training_step(data)["loss"]
    within = data.y[data.edge_index[0]] == data.y[data.edge_index[1]]
    data.edge_weight = torch.where(within, 2.0, 0.01)
    assert system.training_step(data)["loss"] < bare - 0.01
    data.edge_weight = torch.ones(data.edge_index.shape[1])
    torch.testing.assert_close(system.training_step(data)["loss"], bare)


@pytest.mark.parametrize("weights", [{"contrast": 0.0}, {"self_training": 0.0}])
def test_a_term_of_weight_zero_is_logged_but_does_not_pull(weights):
    data = blocks()
    system = clustered(data, **weights)
    terms, gradients = step(system, data)
    (name,) = weights
    left = {"contrast": 5.0 * terms["self_training"], "self_training": terms["contrast"]}[name]
    torch.testing.assert_close(terms["loss"].detach(), left)
    assert terms[name] != 0
    if name == "self_training":
        assert torch.count_nonzero(gradients["centres"]) == 0


def test_two_runs_with_one_seed_agree_to_the_last_bit_and_another_seed_does_not():
    data = blocks((40, 43, 31))
    assert_same_bits(fit(data, seed=3), fit(data.clone(), seed=3))
    assert fit(data, seed=4)[1].history != fit(data, seed=3)[1].history


def test_a_saved_system_goes_on_as_it_was():
    data = blocks()
    system = clustered(data)
    other = small(seed=9)
    other.load_state_dict(system.state_dict())
    assert bool(other.clustered)
    torch.testing.assert_close(other.training_step(data), system.training_step(data), rtol=0, atol=0)


def test_groups_are_found():
    data = blocks((40, 43, 31))
    system, _ = fit(data, epochs=40, warmup=20)
    labels = system.assign(system.embed(data)).argmax(1)
    assert clustering_scores(data.y, labels)["acc"] > 0.95


def test_digits_are_clustered_with_an_accuracy_of_nine_in_ten_by_their_recipe():
    data, recipe = load("digits"), find_recipe("pamc", "digits")
    with deterministic():
        seed_everything(0)
        system = PamC(64, 10, **recipe.model)
        Trainer(TrainingConfig(**{**recipe.training, "device": "cpu"})).fit(system, data)
    assert clustering_scores(data.y.numpy(), system.assign(system.embed(data)).argmax(1).numpy())["acc"] >= 0.90


PEAK = """
import sys, threading, time
import torch
from torch_geometric.data import Data
from graphcl.models.clustering import PamC
from graphcl.training import Trainer, TrainingConfig, deterministic
nodes, edges, width, dense, hidden = map(int, sys.argv[1:])
torch.manual_seed(0)
x = torch.randn(nodes, width)
if not dense:
    columns = torch.randint(width, (nodes, 30)).sort(1).values.flatten()
    pointers = torch.arange(nodes + 1) * 30
    x = torch.sparse_csr_tensor(pointers, columns, torch.ones(nodes * 30), (nodes, width), check_invariants=False)
ends = torch.randint(nodes, (2, edges // 2))
data = Data(x=x, edge_index=torch.cat([ends, ends.flip(0)], 1), num_nodes=nodes)
system = PamC(width, 10, hidden=hidden, warmup=1, n_init=1)
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * 4096
before, peak, done = resident(), [0], threading.Event()
def watch():
    while not done.is_set():
        peak[0] = max(peak[0], resident())
        time.sleep(0.002)
watcher = threading.Thread(target=watch)
watcher.start()
with deterministic():
    Trainer(TrainingConfig(epochs=2, device="cpu")).fit(system, data)
done.set()
watcher.join()
print((peak[0] - before) / system.memory_estimate(nodes, edges, nodes * (width if dense else 30)))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the resident set is read as Linux shows it")
@pytest.mark.parametrize(
    "sizes",
    [
        (20_000, 200_000, 500, 1, 256),
        (20_000, 2_000_000, 50, 1, 64),
        (20_000, 200_000, 3000, 0, 256),
        (20_000, 100_000, 20, 1, 16),
    ],
)
def test_the_memory_that_training_takes_is_within_a_factor_of_two_of_the_estimate(sizes):
    command = [sys.executable, "-W", "ignore", "-c", PEAK, *map(str, sizes)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert 0.5 <= float(done.stdout) <= 2


def test_the_estimate_grows_with_everything_that_takes_memory():
    plain = small().memory_estimate(1000, 5000, 6000)
    assert small().memory_estimate(2000, 5000, 12000) > plain
    assert small().memory_estimate(1000, 9000, 6000) > plain
    assert small(hidden=32).memory_estimate(1000, 5000, 6000) > plain
    assert small(width=9).memory_estimate(1000, 5000, 6000) > plain
    assert small(order=2).memory_estimate(1000, 5000, 6000) > plain
    assert isinstance(small(), HasMemoryEstimate)


def test_the_hidden_layer_of_very_many_nodes_is_not_counted_where_it_is_not_held():
    narrow, wide = small(), small(hidden=256)
    few, many = (60_000, 10, 360_000), (1_000_000, 10, 6_000_000)
    assert wide.memory_estimate(*few) > 2 * narrow.memory_estimate(*few)
    assert wide.memory_estimate(*many) < 1.1 * narrow.memory_estimate(*many)
    sparse = (1_000_000, 10, 3_000_000)
    assert wide.memory_estimate(*sparse) > 2 * narrow.memory_estimate(*sparse)


@pytest.mark.parametrize("hidden", [24, 64, 65, 512])
def test_the_remedy_is_the_widest_hidden_layer_that_fits(hidden):
    sizes, system = (100_000, 500_000, 600_000), small(hidden=hidden)
    for width in (2**power for power in range(4, 10)):
        room = small(hidden=width).memory_estimate(*sizes)
        widest = max((h for h in (16, 32, 64, 128, 256) if h <= width and h < hidden), default=None)
        assert system.memory_remedy(*sizes, room) == (widest and f"model.hidden={widest}")
    assert system.memory_remedy(*sizes, 2**20) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 1}, "n_clusters must be >= 2; got 1"),
        ({"order": 0}, "order must be >= 1; got 0"),
        ({"warmup": -1}, "warmup must be >= 0; got -1"),
        ({"contrast": -0.5}, "contrast must be >= 0; got -0.5"),
        ({"contrast": math.nan}, "contrast must be >= 0; got nan"),
        ({"self_training": -1.0}, "self_training must be >= 0; got -1.0"),
        ({"n_init": 0}, "n_init must be >= 1; got 0"),
        ({"temperature": 0.0}, "temperature must be > 0"),
        ({"temperature": 1e-5}, "temperature must be at least 0.0001"),
        ({"hidden": 0}, "hidden must be >= 1; got 0"),
        ({"width": 0}, "out_features must be >= 1; got 0"),
        ({"hops": -1}, "hops must be >= 0; got -1"),
        ({"f": 0}, "in_features must be >= 1; got 0"),
    ],
)
def test_hyper_parameters_out_of_range_are_named(options, message):
    with pytest.raises(InputError, match=message):
        small(**options)


def test_more_clusters_than_nodes_no_edges_and_another_width_are_refused():
    data = blocks((2, 2, 2))
    with pytest.raises(InputError, match="the number of clusters must lie in 1"):
        small(k=7).place_centres(data)
    with pytest.raises(InputError, match="the graph has no edges"):
        small().training_step(Data(x=data.x, edge_index=torch.zeros(2, 0, dtype=torch.int64)))
    with pytest.raises(InputError, match="made for 5 features a node"):
        small(f=5).training_step(data)


def pretrained(data, seed=0, **options):
    torch.manual_seed(seed)
    small = {"hidden": 8, "width": 4, "n_init": 3, "pretrain_epochs": 2}
    system = PamC(data.x.shape[1], 3, start="autoencoder", **{**small, **options})
    system.on_epoch_start(0, data)
    return system


def test_from_the_auto_encoder_a_step_is_the_published_objective():
    data = blocks(weighted=True, isolated=1)
    system = pretrained(data, temperature=0.8, order=3, contrast=0.7, self_training=0.4, warmup=5)
    z = system.embed(data).double()
    n = len(z)
    a = torch.eye(n, dtype=torch.float64)
    a[data.edge_index[1], data.edge_index[0]] = data.edge_weight.double()
    a /= a.sum(1, keepdim=True)
    u = F.normalize(z, dim=1)
    s = (u @ u.T).fill_diagonal_(0) / 0.8
    attraction = -((a + a @ a + a @ a @ a) * s.exp()).sum(1).log().mean()
    q = 1 / (1 + (z[:, None] - system.centres.detach().double()).square().sum(2))
    q /= q.sum(1, keepdim=True)
    c = F.normalize(torch.stack([z[q.argmax(1) == own].sum(0) for own in q.argmax(1).unique()]), dim=1)
    repulsion = ((c @ c.T).fill_diagonal_(0) / 0.8).exp().sum(1).log().mean()
    p = q**2 / q.sum(0)
    p /= p.sum(1, keepdim=True)
    sharpen = (p * (p / q).log()).sum(1).mean()
    terms = system.training_step(data)
    torch.testing.assert_close(terms["contrast"].double(), attraction + repulsion, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(terms["loss"].double(), 0.7 * (attraction + repulsion) + 0.4 * sharpen, rtol=1e-5, atol=1e-5)


def test_the_auto_encoder_has_the_published_sizes_and_no_decoder():
    system = PamC(20, 3, start="autoencoder")
    shapes = [tuple(p.shape) for name, p in system.encoder.named_parameters() if name.endswith("weight")]
    assert shapes == [(500, 20), (500, 500), (2000, 500), (10, 2000)]
    assert system.objective.proxy == "pamc"
    assert PamC(20, 3).objective.proxy == "node"


def test_the_first_epoch_pre_trains_and_places_the_centres_whatever_the_warm_up():
    data = blocks()
    system = pretrained(data, warmup=9)
    assert bool(system.clustered)
    z = system.embed(data)
    assert clustering_scores(kmeans(z.numpy(), 3, seed=0).labels, system.initial.labels)["acc"] == 1
    assert system.initial.seconds > 0
    before = copy.deepcopy(system.state_dict())
    system.on_epoch_start(1, data)
    assert all(torch.equal(value, before[name]) for name, value in system.state_dict().items())


def test_what_k_means_said_first_is_kept_for_the_record():
    data, system = blocks(), small()
    assert system.initial is None
    system.place_centres(data)
    assert (system.initial.labels == system.assign(system.embed(data)).argmax(1).numpy()).all()
    assert system.initial.seconds == 0
    assert "initial" not in system.state_dict()


@pytest.mark.parametrize("start", ["propagated", "autoencoder"])
@pytest.mark.parametrize("proxy", ["pamc", "cluster", "node", "hybrid", "exact"])
def test_every_proxy_lowers_its_loss_from_every_start_to_the_same_bits_twice(start, proxy):
    data = blocks()
    options = {"start": start, "proxy": proxy, "warmup": 1, "pretrain_epochs": 5}
    system, state = fit(data, epochs=8, **options)
    assert state.history[-1]["loss"] < state.history[1]["loss"]
    assert_same_bits(fit(data.clone(), epochs=8, **options), (system, state))


@pytest.mark.parametrize(("start", "proxy"), [("propagated", "node"), ("autoencoder", "node"), ("autoencoder", "cluster")])
def test_soft_clusters_weigh_nodes_by_their_assignments(start, proxy):
    data = blocks()
    hard, soft = (fit(data, epochs=4, warmup=1, start=start, proxy=proxy, soft=soft)[1].history for soft in (False, True))
    assert hard[0]["loss"] == soft[0]["loss"] or start == "autoencoder"
    assert hard[-1]["contrast"] != soft[-1]["contrast"]


def test_a_pre_trained_system_goes_on_as_it_was_without_pre_training_again():
    data = blocks()
    system = pretrained(data)
    other = PamC(6, 3, start="autoencoder", hidden=8, width=4)
    other.load_state_dict(system.state_dict())
    other.on_epoch_start(3, data)
    torch.testing.assert_close(other.training_step(data), system.training_step(data), rtol=0, atol=0)


def test_the_auto_encoder_is_counted_in_the_estimate_and_the_remedy_is_narrower():
    wide, narrow = (PamC(300, 10, start="autoencoder", hidden=hidden) for hidden in (512, 64))
    sizes = (9000, 40_000, 9000 * 300)
    assert wide.memory_estimate(*sizes) > 3 * narrow.memory_estimate(*sizes)
    assert wide.memory_remedy(*sizes, narrow.memory_estimate(*sizes)) == "model.hidden=64"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": "autoencode"}, "unknown start 'autoencode'; did you mean autoencoder"),
        ({"proxy": "nodes"}, "proxy must be one of"),
        ({"proxy": "pamc", "soft": True}, "proxy 'pamc' takes one cluster for each node"),
        ({"start": "autoencoder", "soft": True}, "proxy 'pamc' takes one cluster for each node"),
        ({"pretrain_epochs": -1}, "pretrain_epochs must be >= 0; got -1"),
        ({"max_fill": 0}, "max_fill must be >= 1; got 0"),
        ({"tolerance": -0.1}, "tolerance must be >= 0; got -0.1"),
    ],
)
def test_settings_of_both_starts_out_of_range_are_named(options, message):
    with pytest.raises(InputError, match=message):
        small(**options)
