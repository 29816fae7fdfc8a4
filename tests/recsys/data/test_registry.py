import json

import numpy as np
import pytest

from graphcl.errors import InputError
from graphcl.recsys.data import leave_one_out, load, load_events, names, temporal_split
from graphcl.recsys.data.split import pair_keys

# Users, items, then rows of each part, as the publishers of the sets state them.
PUBLISHED = {
    "gowalla": (29858, 40981, 810128, None, 217242),
    "citeulike": (5551, 16980, 151895, 18727, 39882),
    "ml-100k": (943, 1682, 80024, 9988, 9988),
    "beauty": (22363, 12101, 198502 - 2 * 22363, 22363, 22363),
}


@pytest.fixture
def empty(tmp_path):
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def test_davis_needs_no_data_and_is_split_the_same_each_time(empty):
    split = load("davis", empty)
    assert (len(split.users), len(split.items)) == (18, 14)
    assert sum(part.num_interactions for part in split.parts().values()) == 89
    assert split.users.ids[0] == "Evelyn Jefferson"
    assert split.items.encode(["E14"]).tolist() == [13]
    assert (split.protocol, split.provenance.domain) == ("lit-ratio", "embedded")
    assert "Davis et al., 1941" in split.provenance.source
    assert load("davis", empty).provenance.sha256 == split.provenance.sha256
    assert len(load_events("davis", empty)) == 89
    assert [(entry.name, dict(entry.counts)) for entry in names(empty)] == [
        ("davis", {"users": 18, "items": 14, "interactions": 89})
    ]


def test_a_new_folder_is_found_without_code(write, tmp_path):
    write("recsys/mine/meta.json", json.dumps({"n_users": 3, "n_items": 3, "interactions": 3, "terms": "ours"}))
    np.savez(tmp_path / "recsys/mine/train.npz", user=np.array([0, 1]), item=np.array([0, 1]), timestamp=np.array([1, 2]))
    np.savez(tmp_path / "recsys/mine/test.npz", user=np.array([2]), item=np.array([1]), timestamp=np.array([3]))
    write("recsys/steps/raw/Steps.txt", "1 10 20 10\n2 10 30\n")
    assert [entry.name for entry in names(tmp_path)] == ["davis", "mine", "steps"]
    split = load("recsys/mine", tmp_path)
    assert split.users_without_train.tolist() == [2]
    assert (split.protocol, split.selection, split.provenance.licence) == ("lit-files", "none", "ours")
    assert load_events("mine", tmp_path).time.tolist() == [1, 2, 3]
    steps = load("steps", tmp_path)
    assert (steps.protocol, steps.repeats, steps.test.num_interactions) == ("lit-loo", 1, 1)
    assert steps.items.decode(steps.test.user_items(0)).to_list() == [10]


def test_unknown_names_are_told_the_near_ones(write, tmp_path):
    write("recsys/gowalla/raw/g.txt", "1 2 3 4\n")
    with pytest.raises(
        InputError, match=r"unknown data set 'gowala'; did you mean gowalla; embedded: davis; found under .*recsys"
    ):
        load("gowala", tmp_path)
    with pytest.raises(InputError, match="which does not exist"):
        load("gowalla", tmp_path / "no")


def test_pairs_in_two_parts_of_a_published_split_are_refused(write, tmp_path):
    write("recsys/leaky/meta.json", "{}")
    for part in ("train", "test"):
        np.savez(tmp_path / f"recsys/leaky/{part}.npz", user=np.array([0]), item=np.array([0]))
    with pytest.raises(InputError, match="user 0 and item 0 are in test and before it"):
        load("leaky", tmp_path)


@pytest.mark.parametrize("name", PUBLISHED)
def test_real_sets_have_their_published_sizes(real_root, name):
    split = load(name, real_root)
    valid = None if split.valid is None else split.valid.num_interactions
    sizes = (len(split.users), len(split.items), split.train.num_interactions, valid, split.test.num_interactions)
    assert sizes == PUBLISHED[name]
    assert split.repeats == 0


def test_users_without_a_training_row_are_counted_in_real_sets(real_root):
    assert len(load("yelp-hin", real_root).users_without_train) == 1188
    assert len(load("lastfm", real_root).users_without_train) == 2


def test_every_real_folder_is_listed_with_its_sizes(real_root):
    listed = {entry.name: entry.counts for entry in names(real_root)}
    folders = [path.name for path in (real_root / "recsys").iterdir() if (path / "meta.json").is_file()]
    assert set(folders) < set(listed)
    assert listed["gowalla"] == {"users": 29858, "items": 40981, "interactions": 1027370}


def test_a_real_set_with_times_can_be_split_another_way(real_root):
    events = load_events("ml-100k", real_root)
    split = temporal_split(events)
    assert split.train.times.max() < split.valid.times.min() <= split.valid.times.max() < split.test.times.min()
    keys = np.concatenate([pair_keys(part) for part in split.parts().values()])
    assert np.array_equal(np.sort(keys), np.sort(events.keys()))
    assert leave_one_out(events).test.num_interactions == 943
    assert events.users.ids[0] == 1
