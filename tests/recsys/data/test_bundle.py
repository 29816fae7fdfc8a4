import json

import numpy as np
import pytest

from graphcl.errors import InputError
from graphcl.recsys.data.bundle import read_bundle
from graphcl.recsys.data.catalogue import scan


@pytest.fixture
def split(write, tmp_path):
    """Writes a small split with arrays of ``train`` changed (or removed by None) and sizes in its notes; gives the folder."""

    def make(meta=None, **changes):
        write("recsys/toy/meta.json", json.dumps({"n_users": 4, "n_items": 3} | (meta or {})))
        arrays = {"user": np.array([0, 0, 2]), "item": np.array([0, 2, 1]), "rating": np.array([5, 4, 3])} | changes
        folder = tmp_path / "recsys/toy"
        np.savez(folder / "train.npz", **{key: value for key, value in arrays.items() if value is not None})
        np.savez(folder / "test.npz", user=np.array([3]), item=np.array([0]), timestamp=np.array([9]))
        return scan(tmp_path)[0]

    return make


def test_sizes_come_from_the_notes_and_users_without_rows_are_there(split):
    parts = read_bundle(split())
    assert list(parts) == ["train", "test"]
    train, test = (rows.interactions() for rows in parts.values())
    assert (train.num_users, train.num_items) == (4, 3)
    assert train.user_degrees.tolist() == [2, 0, 1, 0]
    assert (train.values.tolist(), train.times, test.values, test.times.tolist()) == ([5, 4, 3], None, None, [9])
    assert train.users is test.users
    assert train.users.ids.to_list() == [0, 1, 2, 3]


def test_without_notes_the_largest_number_decides(split, tmp_path):
    split()
    (tmp_path / "recsys/toy/meta.json").unlink()
    assert len(read_bundle(scan(tmp_path)[0])["train"].users) == 4


def test_outside_ids_come_from_the_id_map(split, tmp_path):
    folder = split()
    np.savez(tmp_path / "recsys/toy/id_map.npz", orig_user=np.array([7, 5, 9, 1]), orig_movie=np.array(["x", "y", "z"]))
    train = read_bundle(folder)["train"]
    assert train.users.ids.to_list() == [7, 5, 9, 1]
    assert train.items.ids.to_list() == ["x", "y", "z"]
    np.savez(tmp_path / "recsys/toy/id_map.npz", orig_user=np.array([7]))
    with pytest.raises(InputError, match="expected 4 user ids, one for each number, got 1"):
        read_bundle(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"item": None}, "expected arrays 'user' and 'item', found user"),
        ({"item": np.array([0, 3, 1])}, r"train.npz, item: expected numbers from 0 to 2, got 3 in row 1; does meta.json fit"),
        ({"user": np.array([0, -1, 1])}, r"user: expected numbers from 0 to 3, got -1 in row 1"),
        ({"item": np.array([0, 1])}, r"item: expected 3 whole numbers, got int64 of shape \(2,\)"),
        ({"item": np.array([0.0, 1, 2])}, "item: expected 3 whole numbers, got float64"),
        ({"rating": np.array([1, np.nan, 2])}, "expected ratings of 0 or more, got nan in row 1"),
        ({"meta": {"splits": {"train": {"interactions": 5}}}}, "expected 5 interactions as meta.json says, got 3"),
        ({"meta": {"n_items": 0}}, "expected between 1 and"),
    ],
)
def test_what_is_not_as_described_is_said(split, changes, message):
    with pytest.raises(InputError, match=message):
        read_bundle(split(**changes))


def test_a_damaged_archive_is_said(split):
    folder = split()
    path = folder.files["train"]
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"train.npz: cannot be read as an .npz archive"):
        read_bundle(folder)


def test_sequences_are_numbered_by_ascending_id_and_keep_their_order(write, tmp_path):
    write("recsys/seq/raw/Seq.txt", "5 9 3 9\n2 3\n")
    write("recsys/seq/meta.json", json.dumps({"n_users": 2, "n_items": 2, "interactions": 4}))
    rows = read_bundle(scan(tmp_path)[0])["all"]
    assert (rows.users.ids.to_list(), rows.items.ids.to_list()) == ([2, 5], [3, 9])
    assert (rows.user.tolist(), rows.item.tolist()) == ([1, 1, 1, 0], [1, 0, 1, 0])
    write("recsys/seq/raw/Seq.txt", "5 9 3\n2 3\n")
    with pytest.raises(InputError, match=r"expected 4 as interactions of meta.json says, got 3; is it cut short"):
        read_bundle(scan(tmp_path)[0])
