from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from graphcl.errors import InputError
from graphcl.recsys.sequences import Sequences, sequence_split
from graphcl.tasks.recommender_order import Order, held_out


@pytest.fixture
def split(walks):
    return sequence_split(walks)


def test_what_was_learned_is_the_beginning_of_what_is_known(split):
    order = Order.of(split.histories("test"), split.train)
    assert order.learned.values.tolist() == split.train.values.tolist()
    assert order.learned.indptr.tolist() == split.train.indptr.tolist()
    assert order.learned.fingerprint == split.train.fingerprint
    assert order.histories.times is None
    whole = Order.of(split.train, split.train)
    assert whole.learned.sha256 == whole.histories.sha256


def test_it_comes_back_from_a_file(split, tmp_path):
    order = Order.of(split.histories("test"), split.train)
    np.savez(tmp_path / "o.npz", **order.arrays())
    again = Order.read(tmp_path / "o.npz", split.train.users, split.train.items)
    assert again.sha256 == order.sha256
    assert again.learned.sha256 == order.learned.sha256
    assert order.num_bytes == sum(array.nbytes for array in order.arrays().values())


def test_the_checksum_knows_order_and_what_was_learned(split):
    order = Order.of(split.histories("test"), split.train)
    assert replace(order, lengths=order.histories.lengths).sha256 != order.sha256
    values = order.histories.values.copy()
    values[:2] = values[1::-1]
    assert replace(order, histories=replace(order.histories, values=values)).sha256 != order.sha256


def test_lengths_and_files_that_do_not_fit_are_refused(split, tmp_path):
    for lengths in (
        split.train.lengths[1:],
        split.train.lengths + 1,
        -split.train.lengths,
        split.train.lengths.astype(np.int32),
    ):
        with pytest.raises(InputError, match="how many of their events were learned from, one number for each of 60 histories"):
            Order(split.train, lengths)
    np.savez(tmp_path / "o.npz", indptr=split.train.indptr)
    with pytest.raises(InputError, match="expected arrays indptr, learned, values, found indptr"):
        Order.read(tmp_path / "o.npz", split.train.users, split.train.items)


def test_the_last_training_event_of_each_user_is_held_out(split):
    bare = replace(split, valid=None, split=replace(split.split, valid=None, selection="none"))
    held = held_out(bare)
    assert held.split.selection == "valid-from-train"
    assert (held.valid.lengths == 1).all()
    assert held.train.extended(held.valid).sha256 == split.train.sha256
    assert held.test is split.test
    assert held.split.test is split.split.test
    short = split.train.select(np.isin(np.arange(split.train.num_events), split.train.indptr[:-1]))
    assert isinstance(short, Sequences)
    with pytest.raises(InputError, match="expected users with at least 2 rows"):
        held_out(replace(bare, train=short))
