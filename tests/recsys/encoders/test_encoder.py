from __future__ import annotations

import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.encoders import GRUEncoder, SASEncoder, SequenceEncoder
from graphcl.recsys.sequences import Jagged

ENCODERS = [SASEncoder, GRUEncoder]
ROWS = [[3, 1, 4], [], [1], [5, 2, 6, 5, 3], [0, 0]]


def make(cls, **own):
    torch.manual_seed(0)
    encoder = cls(8, dim=6, max_length=5, **own)
    with torch.no_grad():  # far from the small start, so that what differs shows
        for parameter in encoder.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
        encoder.item_table[encoder.pad_id] = 0.0
    return encoder.double().eval()


@pytest.mark.parametrize("cls", ENCODERS)
def test_one_pass_gives_the_states_of_all_prefixes(cls):
    encoder = make(cls)
    states = encoder.all_states(Jagged.of(ROWS))
    prefixes = Jagged.of([row[: end + 1] for row in ROWS for end in range(len(row))])
    torch.testing.assert_close(states, encoder.last_states(prefixes))


@pytest.mark.parametrize("cls", ENCODERS)
def test_states_do_not_know_the_batch_they_come_in(cls):
    encoder = make(cls)
    together = encoder.all_states(Jagged.of(ROWS))
    alone = torch.cat([encoder.all_states(Jagged.of([row])) for row in ROWS])
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(
        encoder.last_states(Jagged.of(ROWS)), torch.cat([encoder.last_states(Jagged.of([row])) for row in ROWS])
    )


@pytest.mark.parametrize("cls", ENCODERS)
def test_gradients_are_those_of_prefixes_met_one_by_one(cls):
    encoder = make(cls)
    weight = torch.randn(11, 6, dtype=torch.float64)
    found = []
    for states in (
        encoder.all_states(Jagged.of(ROWS)),
        encoder.last_states(Jagged.of([row[: end + 1] for row in ROWS for end in range(len(row))])),
    ):
        found.append(torch.autograd.grad((states * weight).sum(), list(encoder.parameters())))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("cls", ENCODERS)
def test_the_past_does_not_know_the_future(cls):
    encoder = make(cls)
    one, other = (encoder.all_states(Jagged.of([[3, 1, 4, new]])) for new in (2, 7))
    torch.testing.assert_close(one[:3], other[:3])
    assert not torch.allclose(one[3], other[3])


@pytest.mark.parametrize("cls", ENCODERS)
def test_an_empty_history_is_a_row_of_zeros(cls):
    encoder = make(cls)
    states = encoder.last_states(Jagged.of(ROWS))
    assert torch.isfinite(states).all()
    assert (states.abs().sum(1) == 0).tolist() == [False, True, False, False, False]
    assert torch.equal(encoder.last_states(Jagged.of([[], []])), torch.zeros(2, 6, dtype=torch.float64))
    assert encoder.all_states(Jagged.of([[]])).shape == (0, 6)


@pytest.mark.parametrize("cls", ENCODERS)
def test_of_a_long_history_the_newest_items_count(cls):
    encoder = make(cls)
    long = [7, 7, 0, *range(5)]
    torch.testing.assert_close(encoder.last_states(Jagged.of([long])), encoder.last_states(Jagged.of([long[-5:]])))
    with pytest.raises(InputError, match=r"max_length = 5 items; got one of 8.*last\(5\)"):
        encoder.all_states(Jagged.of([long]))


@pytest.mark.parametrize("cls", ENCODERS)
def test_dropout_acts_in_training_alone(cls):
    encoder, history = make(cls, dropout=0.4), Jagged.of(ROWS)
    assert torch.equal(encoder.all_states(history), encoder.all_states(history))
    encoder.train()
    assert not torch.equal(encoder.all_states(history), encoder.all_states(history))


@pytest.mark.parametrize("cls", ENCODERS)
def test_the_row_that_pads_is_zero_and_gets_no_gradient(cls):
    encoder = make(cls)
    history = Jagged.of([[encoder.pad_id, 2, encoder.pad_id], [encoder.mask_id]])
    encoder.all_states(history).square().sum().backward()
    assert not encoder.item_table[encoder.pad_id].any()
    assert not encoder.item_table.grad[encoder.pad_id].any()
    assert encoder.item_table.grad[[2, encoder.mask_id]].any(1).all()


def test_neither_the_pad_nor_the_mask_is_an_item():
    encoder = SequenceEncoder(8, dim=6)
    assert encoder.item_table.shape == (10, 6)
    assert torch.equal(encoder.items(), encoder.item_table[:8])
    with pytest.raises(NotImplementedError):
        encoder.all_states(Jagged.of([[1]]))


@pytest.mark.parametrize("value", [-1, 10])
def test_ids_that_are_no_rows_are_refused(value):
    encoder = make(SASEncoder)
    for call in (encoder.all_states, encoder.last_states):
        with pytest.raises(InputError, match=rf"must lie in 0 \.\. 7 \(8 pads, 9 masks\); got .*{value}"):
            call(Jagged.of([[value]]))


@pytest.mark.parametrize("own", [{"num_items": 0}, {"dim": 0}, {"max_length": 0}])
def test_sizes_below_one_are_refused(own):
    with pytest.raises(InputError, match=f"{next(iter(own))} must be 1 or more; got 0"):
        SequenceEncoder(**({"num_items": 3} | own))
