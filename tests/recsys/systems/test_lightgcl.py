from typing import get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from graphcl.errors import InputError
from graphcl.negatives import NegativesName
from graphcl.recsys.graph import Bipartite
from graphcl.recsys.ranking.rows import Rows
from graphcl.recsys.sampling import Triples
from graphcl.recsys.systems.lightgcl import LightGCL
from graphcl.recsys.systems.system import Layers
from graphcl.training import Trainer, TrainingConfig

USERS, ITEMS = 20, 15


def graph_of(dense, dtype=torch.float64):
    user, item = dense.nonzero().T.numpy()
    indptr = np.concatenate([[0], np.cumsum(np.bincount(user, minlength=len(dense)))]).astype(np.int64)
    return Bipartite(Rows(indptr, item.astype(np.int32), *dense.shape), dtype=dtype)


def interactions(*, isolated=True):
    """Random, connected but for one user and one item when ``isolated``."""
    torch.manual_seed(5)
    dense = (torch.rand(USERS, ITEMS) < 0.3).double()
    dense[0], dense[:, 0] = 1, 1
    if isolated:
        dense[7], dense[:, 4] = 0, 0
    return dense


def normalised(dense):
    left, right = (degree.clamp(min=1).rsqrt() for degree in (dense.sum(1), dense.sum(0)))
    return left[:, None] * dense * right


def triples(number=24, negatives=None):
    torch.manual_seed(9)
    user, item = interactions().nonzero().T
    drawn = torch.randint(len(user), (number,))  # with duplicates
    shape = (number,) if negatives is None else (number, negatives)
    return Triples(user[drawn], item[drawn], torch.randint(ITEMS, shape))


def build(dense=None, seed=0, **settings):
    graph = graph_of(interactions() if dense is None else dense)
    torch.manual_seed(seed)
    settings = {"dim": 6, "init": "normal", "std": 0.5, **settings}
    return LightGCL(graph, **settings).double()


def low_rank(system):
    return system.svd_left @ system.svd_singular.diag() @ system.svd_right.T


def dense_views(system, dense, act=None):
    """Layers by the formula, with dense matrices."""
    block = normalised(dense)
    layers, arrived = [(system.user_table, system.item_table)], []
    for _ in range(system.layers):
        users, items = layers[-1]
        came = block @ items, block.T @ users
        if act is not None:
            came = act(came[0]), act(came[1])
        arrived.append(came)
        layers.append(came if act is None else (came[0] + users, came[1] + items))
    return layers, arrived


def scores(users, items, batch):
    negative = batch.negative.reshape(len(batch.user), -1)
    user = users[batch.user]
    return (user * items[batch.positive]).sum(1, keepdim=True), (user[:, None] * items[negative]).sum(2)


def released(system, batch, dense, *, normalize=False, clamp=5.0):
    """The whole objective, by dense arrays, duplicates one by one."""
    layers, _ = dense_views(system, dense)
    final = [sum(rows) for rows in zip(*layers, strict=True)]
    view = low_rank(system)
    second = [
        layers[0][0] + sum(view @ items for _, items in layers[:-1]),
        layers[0][1] + sum(view.T @ users for users, _ in layers[:-1]),
    ]
    positive, negative = scores(*final, batch)
    loss = F.softplus(negative - positive).mean()
    ids = batch.user, torch.cat([batch.positive, batch.negative.flatten()])
    for rows, anchors, chosen in zip(final, second, ids, strict=True):
        if normalize:
            rows, anchors = F.normalize(rows, dim=1), F.normalize(anchors, dim=1)
        logits = anchors[chosen] @ rows.T / system.user_side.temperature
        own = logits[torch.arange(len(chosen)), chosen]
        loss = loss + system.contrast * (logits.logsumexp(1).mean() - own.clamp(-clamp, clamp).mean())
    return loss + system.penalty * (system.user_table.square().sum() + system.item_table.square().sum())


def assert_same_objective(system, loss, want):
    parameters = list(system.parameters())
    torch.testing.assert_close(loss, want)
    torch.testing.assert_close(torch.autograd.grad(loss, parameters), torch.autograd.grad(want, parameters))


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("negatives", [None, 3])
def test_loss_and_gradient_match_the_formula(layers, negatives):
    system, batch = build(layers=layers, penalty=0.01), triples(negatives=negatives)
    assert_same_objective(system, system.training_step(batch)["loss"], released(system, batch, interactions()))


def test_the_bound_on_positives_is_met_in_this_test_and_can_be_lifted():
    system, batch = build(temperature=0.05), triples()
    want = released(system, batch, interactions())
    unbounded = released(system, batch, interactions(), clamp=1e9)
    assert (want - unbounded).abs() > 0.1
    assert_same_objective(system, system.training_step(batch)["loss"], want)
    free = build(temperature=0.05, clamp=None)
    torch.testing.assert_close(free.training_step(batch)["loss"], unbounded)


def test_cosine_similarity_on_request():
    system, batch = build(normalize=True, temperature=0.1), triples()
    assert_same_objective(system, system.training_step(batch)["loss"], released(system, batch, interactions(), normalize=True))


def test_without_contrast_it_is_a_linear_graph_network_by_bpr_with_a_penalty_on_the_tables():
    system, batch = build(contrast=0.0, penalty=0.02), triples()
    terms = system.training_step(batch)
    assert set(terms) == {"loss", "bpr", "penalty"}
    layers, _ = dense_views(system, interactions())
    positive, negative = scores(*(sum(rows) for rows in zip(*layers, strict=True)), batch)
    squares = sum(table.square().sum() for table in (system.user_table, system.item_table))
    assert_same_objective(system, terms["loss"], F.softplus(negative - positive).mean() + 0.02 * squares)


def test_the_penalty_moves_the_tables_as_a_weight_decay_of_twice_its_weight_does():
    one, other = (build(penalty=penalty) for penalty in (0.01, 0.0))
    for system, decay in ((one, 0.0), (other, 0.02)):
        optimizer = torch.optim.Adam(system.parameters(), lr=0.1, weight_decay=decay)
        system.training_step(triples())["loss"].backward()
        optimizer.step()
    torch.testing.assert_close(one.user_table, other.user_table)


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_at_full_rank_both_views_are_the_sum_over_layers(layers):
    system = build(layers=layers, rank=min(USERS, ITEMS))
    first, _ = system._first_view(0.0)
    second = system.second_view(first[:-1])
    torch.testing.assert_close(system.user_table + second.users, system.embeddings().users, atol=1e-4, rtol=0)
    torch.testing.assert_close(system.item_table + second.items, system.embeddings().items, atol=1e-4, rtol=0)


def test_the_second_view_is_a_product_with_the_dense_low_rank_matrix_in_value_and_gradient():
    system = build(rank=3)
    inputs = [part.detach().requires_grad_() for part in (system.user_table, system.item_table)]
    view = low_rank(system)
    torch.testing.assert_close(tuple(system.second_view([Layers(*inputs)])), (view @ inputs[1], view.T @ inputs[0]))
    assert torch.autograd.gradcheck(lambda users, items: tuple(system.second_view([Layers(users, items)])), inputs)


def test_rank_one_says_how_popular_a_row_is_and_nothing_else():
    dense = interactions(isolated=False)
    system = build(dense, rank=1)
    second = system.second_view(system._first_view(0.0)[0][:-1])
    for rows, degree in ((second.users, dense.sum(1)), (second.items, dense.sum(0))):
        assert torch.linalg.matrix_rank(rows, rtol=1e-5) == 1
        shares = rows / degree.sqrt()[:, None]
        torch.testing.assert_close(shares, shares[:1].expand_as(shares), atol=1e-5, rtol=1e-4)


def test_each_product_has_a_mask_of_its_own():
    torch.manual_seed(0)
    dense = torch.ones(12, 12, dtype=torch.float64)
    system = LightGCL(graph_of(dense), dim=12, layers=1).double()
    with torch.no_grad():
        system.user_table.copy_(torch.eye(12))
        system.item_table.copy_(torch.eye(12))
    came = system._first_view(0.5)[1][0]
    masks = came.users, came.items.T
    for mask in masks:
        assert 0 < (mask == 0).sum() < 144
        torch.testing.assert_close(mask[mask != 0], torch.full_like(mask[mask != 0], 2 / 12))
    assert not torch.equal(*masks)


def paper(system, batch, dense):
    """The paper's objective with the kept rows of seed 3."""
    layers, arrived = dense_views(system, dense, act=lambda rows: F.leaky_relu(rows, 0.5))
    positive, negative = scores(*(sum(rows) for rows in zip(*layers, strict=True)), batch)
    loss = (1 - positive + negative).clamp(min=0).mean()
    view = low_rank(system)
    ids = batch.user.unique(), torch.cat([batch.positive, batch.negative]).unique()
    torch.manual_seed(3)
    for linear, (users, items), came in zip(system.maps, layers[:-1], arrived, strict=True):
        second = view @ items, view.T @ users
        for side in range(2):
            anchors = F.normalize(came[side][ids[side]], dim=1)
            rows = F.normalize(F.leaky_relu(second[side], 0.5) @ linear.weight.T, dim=1)[ids[side]]
            logits = anchors @ rows.T / system.user_side.temperature
            kept = torch.rand(len(ids[side])) >= 0.5
            loss = loss + system.contrast * (logits.logsumexp(1) - logits.diagonal())[kept].sum()
    return loss


def test_the_papers_variant_matches_its_formula():
    system, batch = build(variant="paper", contrast=0.1, temperature=0.5, penalty=0.0, rank=4), triples()
    torch.manual_seed(3)
    terms = system.training_step(batch)
    assert set(terms) == {"loss", "hinge", "contrast"}
    want = paper(system, batch, interactions())
    assert len(list(system.parameters())) == 4
    assert_same_objective(system, terms["loss"], want)


@pytest.mark.parametrize("variant", ["released", "paper"])
def test_the_second_view_is_of_the_normalised_block_and_in_the_paper_of_the_block_itself(variant):
    system = build(variant=variant, rank=4)
    whole = interactions() if variant == "paper" else normalised(interactions())
    # The sketch covers the smaller side of this graph, so that the SVD is the exact one.
    left, singular, right = torch.linalg.svd(whole, full_matrices=False)
    torch.testing.assert_close(low_rank(system), left[:, :4] @ singular[:4].diag() @ right[:4], atol=1e-5, rtol=0)


def test_the_papers_variant_survives_a_batch_of_which_it_keeps_nothing():
    system = build(variant="paper", contrast=0.1, edge_dropout=0.25)
    batch = Triples(*(torch.tensor([part]) for part in (0, 1, 2)))
    for seed in range(8):
        torch.manual_seed(seed)
        assert system.training_step(batch)["loss"].isfinite()


@pytest.mark.parametrize("variant", ["released", "paper"])
def test_it_does_not_matter_how_users_and_items_are_numbered(variant):
    dense, batch = interactions(), triples()
    torch.manual_seed(1)
    users, items = torch.randperm(USERS), torch.randperm(ITEMS)
    system, other = build(dense, variant=variant), build(dense[users][:, items], variant=variant)
    with torch.no_grad():
        other.user_table.copy_(system.user_table[users])
        other.item_table.copy_(system.item_table[items])
        for one, two in zip(system.maps, other.maps, strict=True):
            two.weight.copy_(one.weight)
    torch.testing.assert_close(other.encode().users, system.encode().users[users])
    torch.testing.assert_close(other.encode().items, system.encode().items[items])
    if variant == "released":  # the other keeps a random half
        place = Triples(users.argsort()[batch.user], items.argsort()[batch.positive], items.argsort()[batch.negative])
        found, want = other.training_step(place)["loss"], system.training_step(batch)["loss"]
        torch.testing.assert_close(found, want, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("variant", ["released", "paper"])
def test_what_ranks_is_free_of_chance_and_zero_for_strangers(variant):
    system = build(variant=variant, edge_dropout=0.5)
    first, again = system.encode(), system.encode()
    assert torch.equal(first.users, again.users)
    assert torch.equal(first.items, again.items)
    assert system.training
    degrees = system.graph.user_degree, system.graph.item_degree
    for rows, degree in zip(first, degrees, strict=True):
        assert rows.isfinite().all()
        assert torch.equal((rows == 0).all(1), degree == 0)
        assert (degree == 0).sum() == 1


def test_extreme_logits_do_not_overflow():
    system = build(std=30.0, temperature=0.01)
    terms = system.training_step(triples())
    terms["loss"].backward()
    assert terms["loss"].isfinite()
    assert system.user_table.grad.isfinite().all()


@pytest.mark.parametrize("variant", ["released", "paper"])
@pytest.mark.parametrize("candidates", ["batch", "all"])
@pytest.mark.parametrize("negatives", get_args(NegativesName))
def test_every_estimator_trains_a_step(negatives, candidates, variant):
    system = build(negatives=negatives, candidates=candidates, variant=variant, contrast=1.0)
    before = system.user_table.detach().clone()

    class Data:
        def batches(self, epoch):
            yield triples()

    state = Trainer(TrainingConfig(epochs=1, lr=0.01)).fit(system, Data())
    assert state.history[0]["contrast"] != 0
    assert (system.user_table != before).any(1).all()
    assert system.user_table.isfinite().all()


@pytest.mark.parametrize("loss", ["dcl", "bce", "barlow-twins", "vicreg"])
@pytest.mark.parametrize("variant", ["released", "paper"])
def test_any_loss_of_two_views_may_contrast_the_rows_of_a_batch(loss, variant):
    system = build(loss=loss, variant=variant)
    system.training_step(triples())["contrast"].backward()
    assert system.user_table.grad.isfinite().all()
    assert (system.user_table.grad != 0).any()


def test_the_state_brings_back_the_second_view_bit_for_bit():
    system, other = build(seed=0, rank=2), build(seed=1, rank=2)
    assert not torch.equal(system.training_step(triples())["loss"], other.training_step(triples())["loss"])
    other.load_state_dict(system.state_dict())
    assert torch.equal(system.training_step(triples())["loss"], other.training_step(triples())["loss"])
    assert torch.equal(system.encode().users, other.encode().users)


def test_a_seed_gives_the_same_system():
    one, two = build(seed=4, rank=2).state_dict(), build(seed=4, rank=2).state_dict()
    assert {"svd_left", "svd_singular", "svd_right"} <= set(one)
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_no_array_of_batch_times_catalogue_is_made():
    size, batch_size = 3000, 2500

    class Largest(TorchDispatchMode):
        seen = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            for part in out if isinstance(out, (tuple, list)) else (out,):
                if isinstance(part, torch.Tensor) and part.layout == torch.strided:
                    self.seen = max(self.seen, part.numel())
            return out

    torch.manual_seed(0)
    indices = torch.stack([torch.randperm(size)[:4].sort()[0] for _ in range(size)]).flatten().numpy().astype(np.int32)
    graph = Bipartite(Rows(np.arange(0, 4 * size + 1, 4, dtype=np.int64), indices, size, size))
    system = LightGCL(graph, dim=8)
    batch = Triples(torch.arange(batch_size), torch.randint(size, (batch_size,)), torch.randint(size, (batch_size,)))
    with Largest() as largest:
        system.training_step(batch)["loss"].backward()
    assert largest.seen <= 2**20 < batch_size * size / 7  # the workspace of the sweep


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": 0}, "layers must be >= 1"),
        ({"edge_dropout": 1.0}, r"edge_dropout in \[0, 1\)"),
        ({"clamp": 0.0}, "clamp above 0"),
        ({"contrast": -1.0}, "contrast must be a finite number >= 0"),
        ({"variant": "old"}, "variant"),
        ({"rank": 16}, "rank must be from 1"),
        ({"negatives": "exacts"}, "estimator of negatives"),
        ({"loss": "dcl", "candidates": "all"}, "candidates='all' goes with 'info-nce'"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        build(**settings)
