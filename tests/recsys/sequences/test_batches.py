import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.sequences import PrefixRows, SequenceBatches
from graphcl.training.trainer import HasBatches

LISTS = [[1, 2, 3, 4, 5], [6], [], [7, 8], [9, 9, 9]]


def test_a_shifted_epoch_has_each_user_once_with_a_target_at_every_place(sequences, listed):
    source = SequenceBatches(sequences(LISTS), "shifted", 2, max_length=3)
    assert isinstance(source, HasBatches)
    assert len(source) == 2
    found = []
    for batch in source.batches(0):
        targets = torch.split(batch.target, batch.history.lengths.tolist())
        found += zip(listed(batch.history), [target.tolist() for target in targets], strict=True)
    assert sorted(found) == [([2, 3, 4], [3, 4, 5]), ([7], [8]), ([9, 9], [9, 9])]


def test_a_prefix_epoch_has_each_row_once(sequences, listed):
    data = sequences(LISTS)
    for given in (data, PrefixRows(data, 3)):
        source = SequenceBatches(given, "prefix", 4, max_length=3)
        found = []
        for batch in source.batches(0):
            assert batch.target.tolist() == source.rows.target[batch.rows].tolist()
            assert listed(batch.history) == listed(source.rows.history(batch.rows))
            found += batch.rows.tolist()
        assert (len(source), sorted(found)) == (2, list(range(7)))


@pytest.mark.parametrize("style", ["shifted", "prefix"])
def test_the_order_is_drawn_from_torch_or_a_generator(sequences, style):
    data = sequences([[user, user + 1, user] for user in range(60)])

    def epoch(source):
        return torch.cat([batch.target for batch in source.batches(0)]).tolist()

    source = SequenceBatches(data, style, 16)
    torch.manual_seed(3)
    first, second = epoch(source), epoch(source)
    torch.manual_seed(3)
    assert epoch(source) == first
    assert second != first
    assert sorted(second) == sorted(first)
    one, two = (epoch(SequenceBatches(data, style, 16, generator=torch.Generator().manual_seed(3))) for _ in range(2))
    assert one == two


def test_batches_are_copies_of_the_data(sequences):
    data = sequences(LISTS)
    for style in ("shifted", "prefix"):
        for batch in SequenceBatches(data, style, 9).batches(0):
            batch.history.values.zero_()
            batch.target.zero_()
    assert data.values.tolist() == [item for row in LISTS for item in row]


def test_bad_input_is_told(sequences):
    with pytest.raises(InputError, match="unknown style of training rows 'shift'"):
        SequenceBatches(sequences(LISTS), "shift", 2)
    with pytest.raises(InputError, match="batch_size must be 1 or more; got 0"):
        SequenceBatches(sequences(LISTS), "shifted", 0)
    with pytest.raises(InputError, match="max_length must be 1 or more; got 0"):
        SequenceBatches(sequences(LISTS), "shifted", 2, max_length=0)
    with pytest.raises(InputError, match="at least 2 training events, the longest has 1"):
        SequenceBatches(sequences([[0], [1]]), "shifted", 2)
