from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from killed import Dies, Killed

from graphcl.errors import InputError
from graphcl.losses import TWO_VIEWS
from graphcl.recsys.data import load
from graphcl.recsys.graph import Bipartite
from graphcl.recsys.sampling import TripleSource
from graphcl.recsys.systems.lightgcn import LightGCN
from graphcl.recsys.systems.sgl import SGL
from graphcl.training import Checkpoint, RunFolder, Trainer, TrainingConfig


def dense_view(graphs, start):
    """The mean over layers 0 to L, every layer by the written-out operator of its own graph."""
    mean = start / (len(graphs) + 1)
    for graph in graphs:
        pattern, values = graph.matrix.pattern, graph.matrix.values
        whole = torch.zeros(35, 35, dtype=torch.float64)
        whole[pattern.row.long(), 20 + pattern.col.long()] = values
        start = (whole + whole.T) @ start
        mean = mean + start / (len(graphs) + 1)
    return mean


def each(first, second, anchors, columns, temperature):
    """One number an anchor; columns are rows of the second view, and the anchors stand at `target` among them."""
    ids, target = anchors
    logits = F.normalize(first, dim=1)[ids] @ F.normalize(second, dim=1)[columns].T / temperature
    return F.cross_entropy(logits, target, reduction="none")


@pytest.mark.parametrize("view", ["nd", "ed", "rw"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_published_form_counts_a_user_as_often_as_they_stand_in_the_batch(view, reduction, graph, batch):
    torch.manual_seed(0)
    system = SGL(graph, dim=5, layers=2, penalty=0.1, contrast=0.7, drop=0.3, view=view, reduction=reduction).double()
    system.on_epoch_start(0, None)
    terms = system.training_step(batch)
    terms["loss"].backward()
    assert len(batch.user.unique()) < len(batch.user)
    start = torch.cat([system.user_table, system.item_table]).detach().requires_grad_()
    first, second = (dense_view(graphs, start) for graphs in system._views)
    contrast = each(first, second, (batch.user, batch.user), torch.arange(20), 0.2).sum()
    contrast = contrast + each(first, second, (20 + batch.positive, batch.positive), torch.arange(20, 35), 0.2).sum()
    whole = dense_view([graph] * 2, start)
    user, positive, negative = whole[batch.user], whole[20 + batch.positive], whole[20 + batch.negative]
    ranking = F.softplus((user * (negative - positive)).sum(1)).sum()
    rows = torch.cat([start[batch.user], start[20 + batch.positive], start[20 + batch.negative]])
    want = ranking + 0.1 * rows.square().sum() / 2 + 0.7 * contrast
    share = 1 if reduction == "sum" else len(batch.user)
    torch.testing.assert_close(terms["contrast"], contrast / share)
    torch.testing.assert_close(terms["loss"], want / share)
    (want / share).backward()
    torch.testing.assert_close(torch.cat([system.user_table.grad, system.item_table.grad]), start.grad)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_merged_in_the_batch_everybody_counts_once_among_users_and_items(reduction, graph, batch):
    system = SGL(graph, dim=5, layers=2, ssl_mode="merge", candidates="batch", reduction=reduction).double()
    system.on_epoch_start(0, None)
    start = torch.cat([system.user_table, system.item_table])
    first, second = (dense_view(graphs, start) for graphs in system._views)
    ids = torch.cat([batch.user.unique(), 20 + batch.positive.unique()])
    terms = each(first, second, (ids, torch.arange(len(ids))), ids, 0.2)
    want = terms.sum() if reduction == "sum" else terms.mean()
    torch.testing.assert_close(system.training_step(batch)["contrast"], want)


def test_merged_over_all_the_denominator_has_users_and_items(graph, batch):
    system = SGL(graph, dim=5, layers=2, ssl_mode="merge").double()
    system.on_epoch_start(0, None)
    start = torch.cat([system.user_table, system.item_table])
    first, second = (dense_view(graphs, start) for graphs in system._views)
    ids = torch.cat([batch.user, 20 + batch.positive])
    want = each(first, second, (ids, ids), torch.arange(35), 0.2).sum()
    torch.testing.assert_close(system.training_step(batch)["contrast"], want)


@pytest.mark.parametrize("view", ["nd", "ed", "rw"])
def test_views_without_holes_are_the_whole_graph(view, graph, batch):
    system = SGL(graph, dim=5, drop=0.0, view=view).double()
    system.on_epoch_start(0, None)
    for graphs in system._views:
        torch.testing.assert_close(torch.cat(system._encode(graphs)), torch.cat(system.embeddings()))
    users, items = system.embeddings()
    want = each(users, users, (batch.user, batch.user), torch.arange(20), 0.2).sum()
    want = want + each(items, items, (batch.positive, batch.positive), torch.arange(15), 0.2).sum()
    torch.testing.assert_close(system.training_step(batch)["contrast"], want)


def drawn(system, seed=0):
    torch.manual_seed(seed)
    system.on_epoch_start(0, None)
    return [[graph.matrix.values for graph in graphs] for graphs in system._views]


def test_one_layer_of_random_walks_is_dropped_edges(graph):
    walks, edges = (drawn(SGL(graph, layers=1, view=view)) for view in ("rw", "ed"))
    assert all(torch.equal(one[0], other[0]) for one, other in zip(walks, edges, strict=True))


def test_random_walks_have_a_graph_for_each_layer_and_dropped_edges_one(graph):
    walks, edges = (drawn(SGL(graph, layers=3, view=view, drop=0.3))[0] for view in ("rw", "ed"))
    assert not any(torch.equal(walks[i], walks[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    assert all(values is edges[0] for values in edges)


def test_graphs_are_drawn_anew_each_epoch_and_follow_from_the_seed(graph):
    system = SGL(graph, drop=0.3)
    first, again = drawn(system), drawn(system)
    system.on_epoch_start(1, None)
    assert torch.equal(first[0][0], again[0][0])
    assert not torch.equal(first[0][0], first[1][0])
    assert not torch.equal(first[0][0], system._views[0][0].matrix.values)


def test_nodes_that_lose_everybody_bring_no_nan(graph, batch):
    torch.manual_seed(0)
    system = SGL(graph, dim=5, view="nd", drop=0.8, contrast=1.0).double()
    system.on_epoch_start(0, None)
    assert (system._views[0][0].user_degree == 0).sum() > 10
    loss = system.training_step(batch)["loss"]
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(table.grad).all() for table in system.parameters())


def test_without_contrast_nothing_is_drawn_and_training_is_that_of_lightgcn(make_graph, dense):
    graph = make_graph(dense, torch.float32)
    systems = []
    for cls, own in ((SGL, {"contrast": 0.0, "reduction": "mean"}), (LightGCN, {"init": "xavier-uniform"})):
        torch.manual_seed(0)
        systems.append(cls(graph, dim=4, layers=2, batch_size=16, **own))
        Trainer(TrainingConfig(epochs=4, lr=0.01, device="cpu")).fit(systems[-1], TripleSource(graph, batch_size=16))
    assert all(map(torch.equal, systems[0].parameters(), systems[1].parameters()))


@pytest.mark.parametrize("negatives", ["exact", "meta-node"])
def test_a_run_that_was_killed_goes_on_with_the_views_it_would_have_had(negatives, make_graph, dense, tmp_path):
    graph = make_graph(dense, torch.float32)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.yaml").write_text("{}")

    def fit(observers=(), kept=True):
        torch.manual_seed(0)
        system = SGL(graph, dim=4, layers=2, drop=0.3, view="rw", negatives=negatives, batch_size=16)
        identity = {"configuration": "a", "data": "b", "device": "cpu"}
        checkpoint = Checkpoint(RunFolder.reopen(tmp_path), "seed-0", seconds=0, identity=identity) if kept else None
        source = TripleSource(graph, batch_size=16)
        Trainer(TrainingConfig(epochs=5, lr=0.01, device="cpu"), observers, checkpoint).fit(system, source)
        return system

    with pytest.raises(Killed):
        fit([Dies(2)])
    assert all(map(torch.equal, fit().parameters(), fit(kept=False).parameters()))


def train(**own):
    train = load("davis").train
    graph = Bipartite(train)
    torch.manual_seed(0)
    system = SGL(graph, dim=3, layers=2, batch_size=64, **own)
    state = Trainer(TrainingConfig(epochs=2, device="cpu")).fit(system, TripleSource(train, batch_size=64))
    assert all(torch.isfinite(table).all() for table in system.parameters())
    return state.history


@pytest.mark.parametrize(("ssl_mode", "candidates"), [("both-side", "all"), ("both-side", "batch"), ("merge", "all")])
@pytest.mark.parametrize(
    "negatives", ["exact", "sampled", "hcl", "hard-top-k", "debiased", "meta-node", "meta-node-isotropic", "hybrid"]
)
def test_every_estimator_trains(negatives, ssl_mode, candidates):
    history = train(negatives=negatives, ssl_mode=ssl_mode, candidates=candidates)
    assert all(epoch["contrast"] > 0 for epoch in history)


@pytest.mark.parametrize("loss", TWO_VIEWS)
def test_every_loss_trains(loss):
    assert all(epoch["contrast"] != 0 for epoch in train(loss=loss, candidates="batch"))


def test_what_is_out_of_range_is_told(graph, batch):
    for wrong in ({"layers": 0}, {"drop": 1.0}, {"drop": float("nan")}):
        with pytest.raises(InputError, match=r"layers must be >= 1 and drop in \[0, 1\)"):
            SGL(graph, **wrong)
    for name in ("penalty", "contrast"):
        with pytest.raises(InputError, match=f"{name} must be a finite number >= 0"):
            SGL(graph, **{name: float("inf")})
    for name, wrong in (("view", "er"), ("ssl_mode", "both_side"), ("reduction", "summ")):
        with pytest.raises(InputError, match=f"unknown {name} '{wrong}'; did you mean"):
            SGL(graph, **{name: wrong})
    with pytest.raises(InputError, match="call on_epoch_start before the first batch"):
        SGL(graph).double().training_step(batch)
