from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.recsys.data.id_map import IdMap
from graphcl.recsys.sequences import Sequences
from graphcl.recsys.systems.sequential import SequenceSystem
from graphcl.recsys.systems.sequential.cl4srec import CL4SRec
from graphcl.training import Checkpoint, RunFolder, Trainer, TrainingConfig

NEGATIVES = ["exact", "sampled", "hcl", "hard-top-k", "debiased", "meta-node", "meta-node-isotropic", "hybrid"]


def sequences_of(rows, num_items=None):
    values = np.array([item for row in rows for item in row], dtype=np.int32)
    indptr = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return Sequences(IdMap.count(len(rows)), IdMap.count(num_items or int(values.max()) + 1), values, indptr)


def some_sequences(users=40, items=15, longest=9, seed=0):
    rng = np.random.default_rng(seed)
    return sequences_of([rng.integers(items, size=rng.integers(0, longest + 1)).tolist() for _ in range(users)], items)


def nt_xent(first, second, ids=None):
    b = len(first)
    rows, partner = torch.cat([first, second]), (torch.arange(2 * b) + b) % (2 * b)
    names = torch.arange(b) if ids is None else ids
    out = torch.cat([names, names])[:, None] == torch.cat([names, names])
    out[torch.arange(2 * b), partner] = False
    return F.cross_entropy((rows @ rows.T).masked_fill(out, -torch.inf), partner)


class Killed(BaseException):
    pass


class Dies:
    def on_epoch_end(self, epoch, terms):
        if epoch == 1:
            raise Killed


def trained(system, epochs=2, observers=(), checkpoint=None):
    config = TrainingConfig(epochs=epochs, lr=0.01, device="cpu")
    return Trainer(config, observers, checkpoint).fit(system, system.source())


def goes_on(build, tmp_path):
    """Whether a run that dies after an epoch ends with the bits of one that did not."""
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.yaml").write_text("{}")

    def fit(observers=(), kept=True):
        torch.manual_seed(0)
        system = build()
        checkpoint = Checkpoint(RunFolder.reopen(tmp_path), "seed-0", seconds=0, identity={}) if kept else None
        trained(system, 3, observers, checkpoint)
        return system.state_dict()

    with pytest.raises(Killed):
        fit([Dies()])
    again, whole = fit(), fit(kept=False)
    return list(again) == list(whole) and all(map(torch.equal, again.values(), whole.values()))


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
