from __future__ import annotations

import pytest
import torch
from sequential_systems import some_sequences

from graphcl.errors import InputError
from graphcl.recsys.sequences import Jagged, PrefixBatch, PrefixRows, ShiftedBatch
from graphcl.recsys.systems.sequential import SequenceSystem, views


def system_of(sequences, **own):
    torch.manual_seed(0)
    return SequenceSystem(sequences, **{"dim": 8, "max_length": 6, **own}).double()


HISTORIES = Jagged.of([[1, 4, 2, 2, 7, 9], [3], [5, 6], [8, 0, 1]])


def test_views_differ_from_each_other_and_leave_the_input_alone():
    before = HISTORIES.values.clone()
    torch.manual_seed(0)
    kinds = set()
    for _ in range(40):
        first, second = views.HistoryViews(0.5, 0.5, 1.0, 99)(HISTORIES)
        for view in (first, second):
            assert view.num_rows == 4
            assert (view.lengths >= 1).all()
            assert (view.lengths <= HISTORIES.lengths).all()
        row = [view.take(torch.tensor([0])).values.tolist() for view in (first, second)]
        kinds |= {("crop" if len(one) == 3 else "mask" if 99 in one else "reorder") for one in row}
        assert row[0] != row[1]
        assert first.values[first.indptr[1]] == second.values[second.indptr[1]] == 3  # one item stays
    assert kinds == {"crop", "mask", "reorder"}
    assert torch.equal(HISTORIES.values, before)


def test_the_same_seed_draws_the_same_views():
    drawn = []
    for _ in range(2):
        torch.manual_seed(3)
        drawn.append(views.HistoryViews(0.5, 0.5, 0.8, 99)(HISTORIES))
    for one, other in zip(*drawn, strict=True):
        assert torch.equal(one.values, other.values)
        assert torch.equal(one.indptr, other.indptr)


@pytest.mark.parametrize("encoder", ["sas", "gru"])
def test_sets_that_are_encoded_together_have_the_states_they_have_alone(encoder):
    system = system_of(some_sequences(), encoder=encoder).eval()
    other = Jagged.of([[2], [9, 9, 9, 1, 0, 3, 4, 14]])
    first, second = views.last_states(system, HISTORIES, other)
    torch.testing.assert_close(first, system.encoder.last_states(HISTORIES))
    torch.testing.assert_close(second, system.encoder.last_states(other))


@pytest.mark.parametrize("style", ["shifted", "prefix"])
def test_states_beside_a_batch_are_those_that_have_targets(style):
    system = system_of(some_sequences(), style=style, batch_size=5).eval()
    batch = next(iter(system.source().batches(0)))
    states, other = views.states_beside(system, batch, HISTORIES)
    torch.testing.assert_close(states, system.batch_states(batch))
    assert len(states) == len(batch.target)
    torch.testing.assert_close(other, system.encoder.last_states(HISTORIES))
    assert len(views.states_beside(system, batch)) == 1


def test_a_row_leads_to_its_last_target():
    prefix = PrefixBatch(torch.tensor([0, 1]), Jagged.of([[1], [2, 3]]), torch.tensor([7, 8]))
    shifted = ShiftedBatch(Jagged.of([[1], [2, 3]]), torch.tensor([7, 3, 8]))
    for batch in (prefix, shifted):
        assert views.row_targets(batch).tolist() == [7, 8]


def test_states_are_pooled_by_row():
    states = torch.arange(24.0).view(12, 2)
    mean = views.mean_states(states, HISTORIES)
    flat = views.flat_states(states, HISTORIES, 7)
    for row, part in enumerate(states.split([6, 1, 2, 3])):
        torch.testing.assert_close(mean[row], part.mean(0))
        torch.testing.assert_close(flat[row], torch.cat([torch.zeros(7 - len(part), 2), part]).flatten())


@pytest.mark.parametrize(("encoder", "positions"), [("sas", "start"), ("sas", "recency"), ("gru", "start")])
def test_states_of_all_prefixes_are_those_of_one_at_a_time(encoder, positions, monkeypatch):
    monkeypatch.setattr(views, "ROWS", 7)
    sequences = some_sequences(longest=14)  # some longer than the encoder reads, some of no or one event
    assert {0, 1} <= set(sequences.lengths.tolist())
    system = system_of(sequences, encoder=encoder, positions=positions, style="prefix")
    rows = PrefixRows(sequences, 6)
    system.train()
    found = views.prefix_states(system, rows)
    assert system.training
    assert not found.requires_grad
    torch.testing.assert_close(found, system.encode(rows.history(torch.arange(rows.num_rows))))


def test_the_share_of_false_negatives_is_counted_over_pairs():
    target = torch.tensor([3, 1, 3, 3, 0])
    pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
    want = sum(int(target[i] == target[j]) for i, j in pairs) / len(pairs)
    assert float(views.false_negative_share(target)) == pytest.approx(want)
    assert views.false_negative_share(target[:1]) == 0


def test_a_share_out_of_range_is_told():
    for at, name in enumerate(("crop", "mask", "reorder")):
        for wrong in (0.0, 1.1):
            shares = [0.5, 0.5, 0.5]
            shares[at] = wrong
            with pytest.raises(InputError, match=rf"{name} must lie in \(0, 1\], a share of a history; got {wrong}"):
                views.HistoryViews(*shares, 9)
