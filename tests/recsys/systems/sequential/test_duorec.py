from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sequential_systems import goes_on, nt_xent, some_sequences, trained

from graphcl.errors import InputError
from graphcl.recsys.systems.sequential import SequenceSystem, duorec
from graphcl.recsys.systems.sequential.duorec import DuoRec

NEGATIVES = ["exact", "sampled", "hcl", "hard-top-k", "debiased", "meta-node", "meta-node-isotropic", "hybrid"]


def system_of(sequences, **own):
    torch.manual_seed(0)
    return DuoRec(sequences, **{"dim": 8, "max_length": 6, "batch_size": 16, **own})


@pytest.mark.parametrize("variant", ["un", "su", "us", "us_x"])
@pytest.mark.parametrize("masked", [False, True])
def test_the_loss_is_that_of_the_variant(variant, masked, monkeypatch):
    system = system_of(
        some_sequences(), variant=variant, contrast=0.7, same_target=0.3, mask_false_negatives=masked
    ).double()  # fmt: skip
    batch = next(iter(system.source().batches(0)))
    generator = torch.Generator().manual_seed(0)
    passes = [torch.randn(16, 8, dtype=torch.float64, generator=generator) for _ in range(3)]
    asked = []

    def states(_, *histories):
        asked.extend(histories)
        own = [history.values.equal(batch.history.values) for history in histories]
        assert own == [True] * (len(histories) - (variant != "un")) + [False] * (variant != "un")
        return [passes[0], *([passes[1]] if sum(own) == 2 else []), *([passes[2]] if variant != "un" else [])]

    monkeypatch.setattr(duorec, "last_states", states)
    terms = system.training_step(batch)
    assert len(asked) == {"un": 2, "su": 2, "us": 3, "us_x": 3}[variant]
    ids = batch.target if masked else None
    h, again, other = passes
    want = F.cross_entropy(h @ system.item_embeddings().T, batch.target)
    if variant in ("un", "us"):
        want = want + 0.7 * nt_xent(h, again, ids)
    if variant != "un":
        want = want + 0.3 * nt_xent(again if variant == "us_x" else h, other, ids)
    torch.testing.assert_close(terms["loss"], want)
    assert 0 < terms["false_negatives"] < 1


def test_the_other_prefix_leads_to_the_same_item():
    system = system_of(some_sequences())
    rows = torch.arange(system.rows.num_rows)
    other = system.rows.same_target(rows)
    assert torch.equal(system.rows.target[other], system.rows.target[rows])
    alone = torch.bincount(system.rows.target)[system.rows.target] == 1
    assert torch.equal(other == rows, alone)


def test_without_contrast_training_is_that_of_the_encoder_alone():
    systems = []
    for cls, own in ((DuoRec, {"same_target": 0.0}), (SequenceSystem, {"style": "prefix"})):
        torch.manual_seed(0)
        systems.append(cls(some_sequences(), dim=8, max_length=6, batch_size=16, **own))
        trained(systems[-1])
    assert all(map(torch.equal, systems[0].parameters(), systems[1].parameters()))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("negatives", NEGATIVES)
def test_every_estimator_trains(negatives, masked):
    state = trained(system_of(some_sequences(), batch_size=64, negatives=negatives, mask_false_negatives=masked), 1)
    assert all(np.isfinite(epoch["same_target"]) for epoch in state.history)


def test_a_run_that_was_killed_goes_on_to_the_same_bits(tmp_path):
    assert goes_on(lambda: system_of(some_sequences(), batch_size=64, variant="us"), tmp_path)


def test_what_is_out_of_range_is_told():
    with pytest.raises(InputError, match="unknown variant of DuoRec 'usx'"):
        system_of(some_sequences(), variant="usx")
    with pytest.raises(InputError, match="same_target must be a finite number >= 0"):
        system_of(some_sequences(), same_target=float("nan"))
    with pytest.raises(InputError, match="two passes, which are equal without dropout"):
        system_of(some_sequences(), variant="un", dropout=0.0)
    with pytest.raises(InputError, match="cannot spare false negatives"):
        system_of(some_sequences(), loss="vicreg", mask_false_negatives=True)
