from typing import get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.negatives import NegativesName
from graphcl.recsys.graph import Bipartite
from graphcl.recsys.ranking.rows import Rows
from graphcl.recsys.sampling import Triples, TripleSource
from graphcl.recsys.systems.dccf import DCCF
from graphcl.training import Trainer, TrainingConfig

USERS, ITEMS = 20, 15


def graph_of(dense, dtype=torch.float64):
    user, item = dense.nonzero().T.numpy()
    indptr = np.concatenate([[0], np.cumsum(np.bincount(user, minlength=len(dense)))]).astype(np.int64)
    return Bipartite(Rows(indptr, item.astype(np.int32), *dense.shape), dtype=dtype)


def interactions():
    """Random, with a user and an item that have none."""
    torch.manual_seed(5)
    dense = (torch.rand(USERS, ITEMS) < 0.3).double()
    dense[7], dense[:, 4] = 0, 0
    return dense


def triples(number=24):
    torch.manual_seed(9)
    user, item = interactions().nonzero().T
    drawn = torch.randint(len(user), (number,))  # with duplicates
    return Triples(user[drawn], item[drawn], torch.randint(ITEMS, (number,)))


def build(dense=None, seed=0, **settings):
    graph = graph_of(interactions() if dense is None else dense)
    torch.manual_seed(seed)
    settings = {"dim": 6, "intents": 5, "init": "normal", "std": 0.5, **settings}
    return DCCF(graph, **settings).double()


def cosine(left, right):
    return F.normalize(left, dim=1) @ F.normalize(right, dim=1).T


def share(weights, dim):
    return weights / weights.sum(dim, keepdim=True).clamp(min=1e-300)


def dense_views(system, dense, users, items):
    """One layer by the formula, as ``Z, R, H_Z, H_R`` of both sides."""
    left, right = (degree.clamp(min=1).rsqrt() for degree in (dense.sum(1), dense.sum(0)))
    block = left[:, None] * dense * right
    local = block @ items, block.T @ users
    tables = (users, system.user_intents), (items, system.item_intents)
    intent = tuple(torch.softmax(rows @ latent, 1) @ latent.T for rows, latent in tables)
    masked = []
    for by in (local, intent):
        agreement = (cosine(*by) + 1) / 2 * dense
        masked.append((share(agreement, 1) @ items, share(agreement, 0).T @ users))
    return [local, intent, *masked]


def objective(system, batch, dense):
    rows = final = (system.user_table, system.item_table)
    contrast = 0.0
    ids = batch.user.unique(), batch.positive.unique()
    for _ in range(system.layers):
        views = dense_views(system, dense, *rows)
        rows = tuple(sum(parts) for parts in zip(rows, *views, strict=True))
        final = tuple(sum(parts) for parts in zip(final, rows, strict=True))
        for other in views[1:]:
            for side in range(2):
                logits = cosine(views[0][side][ids[side]], other[side][ids[side]]) / system.user_side.temperature
                contrast = contrast + (logits.logsumexp(1) - logits.diagonal()).mean()
    user, positive, negative = final[0][batch.user], final[1][batch.positive], final[1][batch.negative]
    loss = F.softplus((user * negative).sum(1) - (user * positive).sum(1)).mean()
    looked_up = system.user_table[batch.user], system.item_table[batch.positive], system.item_table[batch.negative]
    loss = loss + system.penalty * sum(part.square().sum() for part in looked_up)
    loss = loss + system.intent_penalty * (system.user_intents.square().sum() + system.item_intents.square().sum())
    return loss + system.contrast * contrast


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("temperature", [1.0, 0.2])
def test_loss_and_gradient_match_the_formula(layers, temperature):
    system, batch = build(layers=layers, temperature=temperature, penalty=0.01), triples()
    terms = system.training_step(batch)
    assert set(terms) == {"loss", "bpr", "penalty", "intent_penalty", "contrast"}
    want = objective(system, batch, interactions())
    parameters = list(system.parameters())
    assert len(parameters) == 4
    torch.testing.assert_close(terms["loss"], want)
    torch.testing.assert_close(torch.autograd.grad(terms["loss"], parameters), torch.autograd.grad(want, parameters))


def test_the_penalty_is_a_sum_over_the_batch_and_not_a_mean():
    system, batch = build(), triples()
    twice = Triples(*(torch.cat([part, part]) for part in batch))
    one, two = system.training_step(batch), system.training_step(twice)
    torch.testing.assert_close(2 * one["penalty"], two["penalty"])
    for name in ("bpr", "contrast", "intent_penalty"):  # the contrast looks at distinct rows
        torch.testing.assert_close(one[name], two[name])


def test_embeddings_are_the_sum_over_all_layers():
    system = build(layers=2)
    rows = total = (system.user_table, system.item_table)
    for _ in range(2):
        rows = tuple(sum(parts) for parts in zip(rows, *dense_views(system, interactions(), *rows), strict=True))
        total = tuple(sum(parts) for parts in zip(total, rows, strict=True))
    torch.testing.assert_close(tuple(system.embeddings()), total)


def test_one_intent_is_everybodys():
    system = build(intents=1)
    intent = system.views(system.embeddings()).intent
    torch.testing.assert_close(intent.users, system.user_intents.T.expand(USERS, -1))
    torch.testing.assert_close(intent.items, system.item_intents.T.expand(ITEMS, -1))


def test_intents_of_zero_leave_a_plain_mean_over_neighbours():
    dense, system = interactions(), build(layers=1)
    with torch.no_grad():
        system.user_intents.zero_()
        system.item_intents.zero_()
    views = system.views(system.embeddings()._replace(users=system.user_table, items=system.item_table))
    assert (views.intent.users == 0).all()
    assert (views.intent.items == 0).all()
    torch.testing.assert_close(views.by_intent.users, share(dense, 1) @ system.item_table)
    torch.testing.assert_close(views.by_intent.items, share(dense, 0).T @ system.user_table)
    sums = system.user_table + views.local.users + views.by_local.users + views.by_intent.users
    torch.testing.assert_close(system.embeddings().users, system.user_table + sums)


def test_it_does_not_matter_how_users_and_items_are_numbered():
    dense, batch = interactions(), triples()
    torch.manual_seed(1)
    users, items = torch.randperm(USERS), torch.randperm(ITEMS)
    system, other = build(dense), build(dense[users][:, items])
    with torch.no_grad():
        other.user_table.copy_(system.user_table[users])
        other.item_table.copy_(system.item_table[items])
        other.user_intents.copy_(system.user_intents)
        other.item_intents.copy_(system.item_intents)
    torch.testing.assert_close(other.encode().users, system.encode().users[users])
    torch.testing.assert_close(other.encode().items, system.encode().items[items])
    place = Triples(users.argsort()[batch.user], items.argsort()[batch.positive], items.argsort()[batch.negative])
    torch.testing.assert_close(other.training_step(place)["loss"], system.training_step(batch)["loss"])


def test_what_ranks_is_the_same_at_every_call_and_zero_for_strangers():
    system = build()
    first, again = system.encode(), system.encode()
    assert torch.equal(first.users, again.users)
    assert torch.equal(first.items, again.items)
    for rows, degree in zip(first, (system.graph.user_degree, system.graph.item_degree), strict=True):
        assert rows.isfinite().all()
        assert torch.equal((rows == 0).all(1), degree == 0)
        assert (degree == 0).sum() == 1


def test_tables_of_zeros_have_gradients_that_are_numbers():
    system = build()
    with torch.no_grad():
        system.user_table.zero_()
        system.item_table.zero_()
    system.training_step(triples())["loss"].backward()
    assert all(parameter.grad.isfinite().all() for parameter in system.parameters())


@pytest.mark.parametrize("candidates", ["batch", "all"])
@pytest.mark.parametrize("negatives", get_args(NegativesName))
def test_every_estimator_trains_a_step(negatives, candidates):
    system = build(negatives=negatives, candidates=candidates)
    before = [parameter.detach().clone() for parameter in system.parameters()]

    class Data:
        def batches(self, epoch):
            yield triples()

    Trainer(TrainingConfig(epochs=1, lr=0.01)).fit(system, Data())
    for parameter, old in zip(system.parameters(), before, strict=True):
        assert parameter.isfinite().all()
        assert (parameter != old).any()


@pytest.mark.parametrize("loss", ["dcl", "bce", "barlow-twins"])
def test_any_loss_of_two_views_may_contrast_the_rows_of_a_batch(loss):
    system = build(loss=loss)
    system.training_step(triples())["contrast"].backward()
    assert system.user_intents.grad.isfinite().all()
    assert (system.user_intents.grad != 0).any()


def test_without_contrast_there_is_no_such_term():
    system, batch = build(contrast=0.0), triples()
    terms = system.training_step(batch)
    assert "contrast" not in terms
    torch.testing.assert_close(terms["loss"], objective(system, batch, interactions()))


def test_an_epoch_has_the_published_number_of_full_batches():
    system = build()
    assert (system.sampler, system.batch_size, system.batches_per_epoch) == ("user-uniform", 10240, 40)
    source = TripleSource(system.graph, batch_size=system.batch_size, sampler=system.sampler, batches=system.batches_per_epoch)
    assert len(source) == 40


def test_the_state_brings_back_everything_bit_for_bit():
    system, other = build(seed=0), build(seed=1)
    other.load_state_dict(system.state_dict())
    assert torch.equal(system.training_step(triples())["loss"], other.training_step(triples())["loss"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": 0}, "layers and intents must be >= 1"),
        ({"intents": 0}, "layers and intents must be >= 1"),
        ({"intent_penalty": -1.0}, "intent_penalty must be a finite number >= 0"),
        ({"sampler": "random"}, "sampler"),
        ({"loss": "dcl", "candidates": "all"}, "candidates='all' goes with 'info-nce'"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        build(**settings)
