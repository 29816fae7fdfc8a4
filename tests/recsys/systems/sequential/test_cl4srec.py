from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sequential_systems import goes_on, nt_xent, some_sequences, trained

from graphcl.errors import InputError
from graphcl.recsys.systems.sequential import SequenceSystem
from graphcl.recsys.systems.sequential.cl4srec import CL4SRec

NEGATIVES = ["exact", "sampled", "hcl", "hard-top-k", "debiased", "meta-node", "meta-node-isotropic", "hybrid"]


def system_of(sequences, **own):
    torch.manual_seed(0)
    return CL4SRec(sequences, **{"dim": 8, "max_length": 6, "batch_size": 16, **own})


@pytest.mark.parametrize("style", ["shifted", "prefix"])
def test_the_loss_is_that_of_the_formula(style):
    system = system_of(some_sequences(), style=style, contrast=0.7, dropout=0.0).double()
    batch = next(iter(system.source().batches(0)))
    torch.manual_seed(1)
    terms = system.training_step(batch)
    torch.manual_seed(1)
    first, second = (system.encoder.last_states(view) for view in system.views(batch.history))
    logits = system.batch_states(batch) @ system.item_embeddings().T
    want = F.cross_entropy(logits, batch.target) + 0.7 * nt_xent(first, second)
    torch.testing.assert_close(terms["loss"], want)
    got = torch.autograd.grad(terms["loss"], list(system.parameters()))
    for one, other in zip(got, torch.autograd.grad(want, list(system.parameters())), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("style", ["shifted", "prefix"])
def test_without_contrast_training_is_that_of_the_encoder_alone(style):
    systems = []
    for cls, own in ((CL4SRec, {"contrast": 0.0}), (SequenceSystem, {})):
        torch.manual_seed(0)
        systems.append(cls(some_sequences(), dim=8, max_length=6, batch_size=16, style=style, **own))
        trained(systems[-1])
    assert all(map(torch.equal, systems[0].parameters(), systems[1].parameters()))


def test_training_leaves_the_sequences_as_they_were():
    sequences = some_sequences()
    before = sequences.values.copy()
    trained(system_of(sequences))
    assert np.array_equal(sequences.values, before)


@pytest.mark.parametrize("candidates", ["batch", "items"])
@pytest.mark.parametrize("negatives", NEGATIVES)
def test_every_estimator_trains(negatives, candidates):
    state = trained(system_of(some_sequences(), negatives=negatives, candidates=candidates), 1)
    assert all(epoch["contrast"] > 0 for epoch in state.history)


@pytest.mark.parametrize("negatives", ["exact", "meta-node"])
def test_a_run_that_was_killed_goes_on_to_the_same_bits(negatives, tmp_path):
    assert goes_on(lambda: system_of(some_sequences(), batch_size=64, negatives=negatives), tmp_path)


def test_what_is_out_of_range_is_told():
    with pytest.raises(InputError, match="contrast must be a finite number >= 0"):
        system_of(some_sequences(), contrast=-1.0)
    with pytest.raises(InputError, match=r"crop must lie in \(0, 1\]"):
        system_of(some_sequences(), crop=0.0)
