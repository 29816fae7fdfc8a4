from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sequential_systems import goes_on, nt_xent, sequences_of, some_sequences, trained

from graphcl.errors import InputError
from graphcl.recsys.sequences import Jagged
from graphcl.recsys.systems.sequential import SequenceSystem
from graphcl.recsys.systems.sequential.iclrec import ICLRec
from graphcl.recsys.systems.sequential.intents import k_means

NEGATIVES = ["exact", "sampled", "hcl", "hard-top-k", "debiased", "meta-node", "meta-node-isotropic", "hybrid"]


def system_of(sequences, **own):
    torch.manual_seed(0)
    return ICLRec(sequences, **{"dim": 8, "max_length": 6, "batch_size": 16, "intents": 5, **own})


def dense_parts(system, history):
    """States of each row by itself."""
    return [system.encoder.all_states(history.take(torch.tensor([row]))) for row in range(history.num_rows)]


@pytest.mark.parametrize("style", ["shifted", "prefix"])
@pytest.mark.parametrize("summary", ["flat", "last"])
@pytest.mark.parametrize("masked", [False, True])
def test_the_loss_is_that_of_the_formula(style, summary, masked):
    system = system_of(
        some_sequences(), style=style, summary=summary, mask_false_negatives=masked, contrast=0.7, intent=0.3, dropout=0.0
    ).double()  # fmt: skip
    source = system.source()
    system.on_epoch_start(0, source)
    batch = next(iter(source.batches(0)))
    torch.manual_seed(1)
    terms = system.training_step(batch)
    torch.manual_seed(1)
    views = system.views(batch.history)
    own = torch.stack([part.mean(0) for part in dense_parts(system, batch.history)])
    intent = torch.cdist(own, system.intents.centres).argmin(1)
    centre = F.normalize(system.intents.centres, dim=1)[intent]
    means, wholes = [], []
    for view in views:
        parts = dense_parts(system, view)
        means.append(torch.stack([part.mean(0) for part in parts]))
        if summary == "last":
            wholes.append(torch.stack([part[-1] for part in parts]))
        else:
            wholes.append(torch.stack([torch.cat([part.new_zeros(6 - len(part), 8), part]).flatten() for part in parts]))
    target = batch.target if style == "prefix" else batch.target[batch.history.indptr[1:] - 1]
    recommendation = F.cross_entropy(system.batch_states(batch) @ system.item_embeddings().T, batch.target)
    contrast = nt_xent(*wholes, target if masked else None)
    fine = sum(nt_xent(mean, centre, intent if masked else None) for mean in means) / 2
    torch.testing.assert_close(terms["recommendation"], recommendation)
    torch.testing.assert_close(terms["contrast"], contrast)
    torch.testing.assert_close(terms["intent"], fine)
    torch.testing.assert_close(terms["loss"], recommendation + 0.7 * contrast + 0.3 * fine)
    assert len(intent.unique()) > 1


def test_intents_are_centres_of_the_mean_states_of_whole_rows_and_found_each_epoch():
    sequences = some_sequences(longest=12)
    system = system_of(sequences).train()
    system.on_epoch_start(3, None)
    assert system.training
    rows = [sequences.values[a:b][:-1][-6:].tolist() for a, b in zip(sequences.indptr, sequences.indptr[1:], strict=False)]
    system.eval()
    means = torch.stack([system.encoder.all_states(Jagged.of([row])).mean(0) for row in rows if row]).detach()
    torch.testing.assert_close(system.intents.centres, k_means(means, 5, seed=3))


def test_there_are_no_more_intents_than_rows():
    system = system_of(sequences_of([[1, 2, 3], [2, 0], [4]]), intents=256)
    assert system.intents.count == 2
    trained(system)


def test_without_contrast_training_is_that_of_the_encoder_alone():
    systems = []
    for cls, own in ((ICLRec, {"contrast": 0.0, "intent": 0.0}), (SequenceSystem, {})):
        torch.manual_seed(0)
        systems.append(cls(some_sequences(), dim=8, max_length=6, batch_size=16, **own))
        trained(systems[-1])
    assert all(map(torch.equal, systems[0].parameters(), systems[1].parameters()))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("negatives", NEGATIVES)
def test_every_estimator_trains(negatives, masked):
    state = trained(system_of(some_sequences(), batch_size=64, negatives=negatives, mask_false_negatives=masked), 1)
    assert all(np.isfinite(epoch["contrast"]) and np.isfinite(epoch["intent"]) for epoch in state.history)


def test_a_run_that_was_killed_goes_on_to_the_same_bits(tmp_path):
    assert goes_on(lambda: system_of(some_sequences(), batch_size=64), tmp_path)


def test_what_is_out_of_range_is_told():
    with pytest.raises(InputError, match="unknown summary of a view 'mean'"):
        system_of(some_sequences(), summary="mean")
    with pytest.raises(InputError, match="goes with summary='last'"):
        system_of(some_sequences(), candidates="items")
    with pytest.raises(InputError, match="intent must be a finite number >= 0"):
        system_of(some_sequences(), intent=-0.1)
