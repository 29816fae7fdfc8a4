import json

import numpy as np
import pytest

from graphcl.errors import InputError
from graphcl.recsys.data import load, load_events
from graphcl.recsys.sequences import load_sequences

# Users, items, events and users whose last item is one of their own, as section 2 of the tables of the literature counts them.
PUBLISHED = {"beauty": (22363, 12101, 198502, 0), "yelp": (30431, 20033, 316354, 2027)}


def test_a_file_of_sequences_keeps_its_order(tmp_path):
    folder = tmp_path / "recsys" / "steps"
    (folder / "raw").mkdir(parents=True)
    (folder / "raw" / "Steps.txt").write_text("1 20 10 20 30\n2 10 30\n")
    (folder / "meta.json").write_text(json.dumps({"terms": "ours"}))
    made = load_sequences("recsys/steps", tmp_path)
    assert made.histories("test").values.tolist() == [1, 0, 1, 0, 2]
    assert made.test.values.tolist() == [2]
    assert (made.split.provenance.name, made.split.provenance.licence, made.split.protocol) == ("steps", "ours", "lit-loo")
    assert made.split.provenance.sha256 == load("steps", tmp_path).provenance.sha256


def test_parts_with_times_are_put_in_order(tmp_path):
    folder = tmp_path / "recsys" / "mine"
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text("{}")
    np.savez(folder / "train.npz", user=np.array([0, 0]), item=np.array([3, 1]), timestamp=np.array([9, 2]))
    np.savez(folder / "test.npz", user=np.array([0, 0]), item=np.array([2, 0]), timestamp=np.array([3, 3]))
    made = load_sequences("mine", tmp_path)
    assert made.histories("test").values.tolist() == [1, 2, 0]
    assert made.test.values.tolist() == [3]
    assert made.split.notes["tie_share"] == pytest.approx(1 / 3)
    with pytest.raises(InputError, match="mine: the valid part would be empty"):
        load_sequences("mine", tmp_path, how="temporal")


def test_what_has_no_order_is_refused(tmp_path):
    folder = tmp_path / "recsys" / "pairs"
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text("{}")
    for part, item in (("train", 0), ("test", 1)):
        np.savez(folder / f"{part}.npz", user=np.array([0]), item=np.array([item]))
    for name in ("pairs", "davis"):
        with pytest.raises(InputError, match=f"{name}: expected events in order of time, got pairs without times"):
            load_sequences(name, tmp_path)
    with pytest.raises(InputError, match="unknown data set 'pears'; did you mean pairs"):
        load_sequences("pears", tmp_path)


@pytest.mark.parametrize("name", PUBLISHED)
def test_real_sequences_have_their_published_sizes(real_root, name):
    made = load_sequences(name, real_root)
    sizes = (made.train.num_users, made.train.num_items, len(load_events(name, real_root)), made.split.repeats)
    assert sizes == PUBLISHED[name]
    assert (made.train.num_events, made.valid.num_events, made.test.num_events) == (
        sizes[2] - 2 * sizes[0], sizes[0], sizes[0]
    )  # fmt: skip


def test_a_real_set_with_times_is_split_in_time(real_root):
    made = load_sequences("ml-100k", real_root, how="temporal")
    assert made.train.num_events + made.valid.num_events + made.test.num_events == 100_000
    assert made.train.times.max() < made.valid.times.min()
    assert made.valid.times.max() < made.test.times.min()
    assert (made.split.test.user_degrees <= 1).all()
    assert 0.5 < made.split.notes["tie_share"] < 0.52
