from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sequential_systems import goes_on, nt_xent, sequences_of, some_sequences, trained

from graphcl.errors import InputError
from graphcl.recsys.sequences import PrefixRows
from graphcl.recsys.systems.sequential import SequenceSystem
from graphcl.recsys.systems.sequential.icsrec import ICSRec
from graphcl.recsys.systems.sequential.intents import k_means
from graphcl.recsys.systems.sequential.same_target import last_other

NEGATIVES = ["exact", "sampled", "hcl", "hard-top-k", "debiased", "meta-node", "meta-node-isotropic", "hybrid"]


def system_of(sequences, **own):
    torch.manual_seed(0)
    return ICSRec(sequences, **{"dim": 8, "max_length": 6, "batch_size": 16, "intents": 5, **own})


def states(count=12, dim=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(count, dim, dtype=torch.float64, generator=generator) for _ in range(2)]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("last", [False, True])
def test_the_loss_and_its_gradients_are_those_of_the_formula(masked, shared, last):
    system = system_of(
        some_sequences(), mask_false_negatives=masked, shared_pass=shared, official_last=last, coarse=0.7, fine=0.4, dropout=0.0
    ).double()  # fmt: skip
    system.on_epoch_start(0, None)
    batch = next(iter(system.source().batches(0)))
    torch.manual_seed(1)
    terms = system.training_step(batch)
    torch.manual_seed(1)
    partner = last_other(system.rows)[batch.rows] if last else system.rows.same_target(batch.rows)
    h = [system.encoder.last_states(history) for history in (batch.history, system.rows.history(partner))]
    recommendation = F.cross_entropy(h[0] @ system.item_embeddings().T, batch.target)
    coarse = nt_xent(*h, batch.target if masked else None)
    fine = 0.0
    for one in h:
        intent = torch.cdist(one, system.intents.centres).argmin(1)
        assert len(intent.unique()) > 1
        fine = fine + nt_xent(one, F.normalize(system.intents.centres, dim=1)[intent], intent if masked else None)
    want = recommendation + 0.7 * coarse + 0.4 * fine
    for name, value in (("recommendation", recommendation), ("coarse", coarse), ("fine", fine), ("loss", want)):
        torch.testing.assert_close(terms[name], value)
    parameters = list(system.parameters())
    got, expected = torch.autograd.grad(terms["loss"], parameters), torch.autograd.grad(want, parameters)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other)


def official_rows(row, most):
    """The windows of the official preparation, each with two items set aside, over a whole row."""
    n = len(row)
    if n > most + 3:
        windows = [row[:j] for j in range(4, most + 3)] + [row[s : s + most + 3] for s in range(n - most - 2)]
    else:
        windows = [row[:j] for j in range(4, n + 1)]
    return [(tuple(w[:-3]), w[-3]) for w in windows]


@pytest.mark.parametrize("n", range(4, 61))
def test_rows_are_those_of_the_official_segments(n):
    row = list(range(n))
    rows = PrefixRows(sequences_of([row[:-2]], n), 5)
    histories = [tuple(rows.history(torch.tensor([number])).values.tolist()) for number in range(rows.num_rows)]
    mine = list(zip(histories, rows.target.tolist(), strict=True))
    assert sorted(mine) == sorted(official_rows(row, 5))
    assert all(item < n - 2 for history, target in mine for item in (*history, target))


def test_the_shortest_user_that_counts_has_one_row_and_a_shorter_one_none():
    system = system_of(sequences_of([[3, 1], [2], [4, 0]]))
    assert system.rows.num_rows == 2  # of rows that had 4, 3 and 4 items with those held out
    assert system.rows.target.tolist() == [1, 0]


def test_labels_that_all_differ_give_the_plain_contrast():
    system = system_of(some_sequences()).double()
    first, second = states()
    torch.testing.assert_close(system.coarse_loss(first, second, torch.arange(12)), nt_xent(first, second))
    plain = system_of(some_sequences(), mask_false_negatives=False).double()
    torch.testing.assert_close(plain.coarse_loss(first, second, torch.arange(12) // 3), nt_xent(first, second))


def test_labels_that_all_coincide_leave_nothing_to_learn():
    system = system_of(some_sequences()).double()
    first, second = states()
    first.requires_grad_()
    loss = system.coarse_loss(first, second, torch.full((12,), 4))
    loss.backward()
    assert loss == 0
    assert (first.grad == 0).all()


def test_one_intent_for_all_is_no_contrast():
    system = system_of(some_sequences(), intents=1).double()
    system.on_epoch_start(0, None)
    assert system.fine_loss(states()[0]) == 0
    batch = next(iter(system.source().batches(0)))
    assert system.training_step(batch)["fine"] == 0
    plain = system_of(some_sequences(), intents=1, mask_false_negatives=False).double()
    plain.on_epoch_start(0, None)
    assert plain.fine_loss(states()[0]) > 0


@pytest.mark.parametrize("negatives", ["exact", "meta-node", "hybrid"])
def test_order_of_rows_does_not_matter(negatives):
    system = system_of(some_sequences(), negatives=negatives).double()
    system.on_epoch_start(0, None)
    first, second = states()
    target = torch.tensor([0, 1, 2, 3, 3, 2, 5, 6, 0, 7, 8, 9])
    order = torch.randperm(12, generator=torch.Generator().manual_seed(2))
    want = system.coarse_loss(first, second, target), system.fine_loss(first)
    got = system.coarse_loss(first[order], second[order], target[order]), system.fine_loss(first[order])
    torch.testing.assert_close(got, want)


def test_without_contrasts_gradients_and_training_are_those_of_the_encoder_alone():
    systems = []
    for cls, own in ((ICSRec, {"coarse": 0.0, "fine": 0.0}), (SequenceSystem, {"style": "prefix"})):
        torch.manual_seed(0)
        systems.append(cls(some_sequences(), dim=8, max_length=6, batch_size=16, **own))
    one, alone = systems
    batch = next(iter(one.source().batches(0)))
    found = []
    for system in systems:
        torch.manual_seed(1)
        found.append(torch.autograd.grad(system.training_step(batch)["loss"], list(system.parameters())))
    assert all(map(torch.equal, *found))
    for system in systems:
        torch.manual_seed(1)
        trained(system)
    assert all(map(torch.equal, one.parameters(), alone.parameters()))


def test_intents_are_centres_of_the_states_of_all_prefixes_and_found_each_epoch():
    system = system_of(some_sequences(longest=12))
    for epoch in (0, 1):
        system.on_epoch_start(epoch, None)
        every = system.encode(system.rows.history(torch.arange(system.rows.num_rows)))
        torch.testing.assert_close(system.intents.centres, k_means(every, 5, seed=epoch))
    assert system_of(sequences_of([[1, 2, 3]]), intents=256).intents.count == 2


def test_the_recommending_state_has_its_own_dropout_unless_the_pass_is_shared():
    for shared in (False, True):
        system = system_of(some_sequences(), shared_pass=shared, fine=0.0)
        batch = next(iter(system.source().batches(0)))
        kept = {}

        def note(states, target, kept=kept):
            kept["recommends"] = states
            return states.sum()

        def compare(first, second, target, kept=kept):
            kept["contrasts"] = first
            return first.sum()

        system.recommendation_loss, system.coarse_loss = note, compare
        system.training_step(batch)
        assert (kept["recommends"] is kept["contrasts"]) == shared
        assert torch.equal(kept["recommends"], kept["contrasts"]) == shared


@pytest.mark.parametrize("encoder", ["sas", "gru"])
def test_either_encoder_trains_and_recommends(encoder):
    sequences = some_sequences()
    system = system_of(sequences, encoder=encoder)
    state = trained(system, 3)
    assert state.history[-1]["recommendation"] < state.history[0]["recommendation"]
    assert all(0 < epoch["false_negatives"] < 1 for epoch in state.history)
    scores = system.scorer(sequences).score(torch.arange(3))
    assert tuple(scores.shape) == (3, 15)


@pytest.mark.parametrize(("candidates", "masked"), [("batch", False), ("batch", True), ("items", True)])
@pytest.mark.parametrize("negatives", NEGATIVES)
def test_every_estimator_trains(negatives, candidates, masked):
    own = {"negatives": negatives, "candidates": candidates, "mask_false_negatives": masked}
    state = trained(system_of(some_sequences(), batch_size=64, **own), 1)
    assert all(np.isfinite(list(epoch.values())).all() for epoch in state.history)


@pytest.mark.parametrize("own", [{}, {"official_last": True, "negatives": "meta-node"}])
def test_a_run_that_was_killed_goes_on_to_the_same_bits_of_weights_and_centres(own, tmp_path):
    assert "intents.centres" in system_of(some_sequences()).state_dict()
    assert goes_on(lambda: system_of(some_sequences(), batch_size=64, **own), tmp_path)


def test_what_is_out_of_range_is_told():
    for name in ("coarse", "fine"):
        with pytest.raises(InputError, match=f"{name} must be a finite number >= 0"):
            system_of(some_sequences(), **{name: -1.0})
    with pytest.raises(InputError, match="at least 1 intent; got 0"):
        system_of(some_sequences(), intents=0)
    with pytest.raises(InputError, match="cannot spare false negatives: switch their mask off"):
        system_of(some_sequences(), loss="barlow-twins")
