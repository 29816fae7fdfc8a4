from dataclasses import replace

import numpy as np
import pytest

from graphcl.errors import InputError
from graphcl.recsys.data import IdMap
from graphcl.recsys.data.split import pair_keys, split_events, split_of

ROWS = [(0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2), (0, 0), (1, 0)]
LABELS = np.array([0, 0, 0, 1, 1, 2, 2, 2], dtype=np.int8)


def split(events, repeats, labels=LABELS):
    return split_events(events(ROWS), labels, protocol="lit-files", repeats=repeats, duplicates="last", name="toy")


def test_parts_are_over_the_same_ids_and_counted(events, pairs_of):
    got = split(events, "keep")
    assert pairs_of(got.train) == [(0, 0), (0, 1), (1, 1)]
    assert pairs_of(got.valid) == [(0, 2), (1, 2)]
    assert pairs_of(got.test) == [(0, 0), (1, 0), (2, 2)]
    assert got.repeats == 1
    assert got.users_without_train.tolist() == [2]
    assert got.share_cold_targets == pytest.approx(1 / 3)
    assert got.provenance.counts == {"users": 3, "items": 3, "interactions": 8, "train": 3, "valid": 2, "test": 3}
    assert got.selection == "valid"
    assert str(got) == "toy (lit-files): 3 users, 3 items; train 3, valid 2, test 3; 1 judged users without a training row"


def test_pairs_in_two_parts_are_dropped_kept_or_refused(events, pairs_of):
    dropped = split(events, "drop")
    assert pairs_of(dropped.test) == [(1, 0), (2, 2)]
    assert dropped.repeats == 0
    with pytest.raises(InputError, match=r"user 'u0' and item 'i0' are in test and before it \(1 pairs are\)"):
        split(events, "refuse")
    with pytest.raises(InputError, match="unknown policy for repeats 'no'"):
        split(events, "no")


def test_no_validation_part_means_nothing_to_choose_by(events):
    got = split(events, "drop", np.where(LABELS == 1, 0, LABELS).astype(np.int8))
    assert got.valid is None
    assert got.selection == "none"
    assert list(got.parts()) == ["train", "test"]


def test_an_empty_part_is_refused(events):
    with pytest.raises(InputError, match="toy: the train part would be empty"):
        split(events, "drop", np.full(8, 2, dtype=np.int8))
    with pytest.raises(InputError, match="toy: the test part would be empty"):
        split(events, "drop", np.array([0, 0, 0, 0, 0, 0, 2, 0], dtype=np.int8))


def test_parts_over_other_ids_are_refused(events):
    got = split(events, "keep")
    renamed = replace(got.test, users=IdMap.of(["u0", "u2", "u1"], "user"))
    with pytest.raises(InputError, match=r"the user ids are not those of the training part \(this is the test part\)"):
        replace(got, test=renamed)
    assert replace(got, test=replace(got.test, users=IdMap.of(["u0", "u1", "u2"]))).repeats == 1


def test_the_checksum_is_of_the_parts_unless_files_have_one(events):
    first = split(events, "keep")
    assert first.provenance.sha256 == split(events, "keep").provenance.sha256 != split(events, "drop").provenance.sha256
    parts = (first.train, first.valid, first.test)
    assert split_of(*parts, protocol="lit-files", repeats="keep", sha256="ab").provenance.sha256 == "ab"


def test_keys_ascend_and_name_their_pair(events):
    data = events(ROWS).interactions()
    keys = pair_keys(data)
    assert (np.diff(keys) > 0).all()
    assert [divmod(int(key), 3) for key in keys] == list(zip(data.rows.tolist(), data.indices.tolist(), strict=True))
