import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphcl.errors import InputError
from graphcl.recsys.data import Events, IdMap, given_split, leave_one_out, ratio_split, temporal_split, with_validation
from graphcl.recsys.data.split import pair_keys

ROWS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 30)), min_size=1, max_size=60)


def log(rows):
    user, item, time = (np.array([row[n] for row in rows]) for n in range(3))
    return Events(IdMap.count(6, "user"), IdMap.count(10, "item"), user.astype(np.int32), item.astype(np.int32), None, time)


def together(split):
    return np.concatenate([pair_keys(part) for part in split.parts().values()])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def unless_empty(make):
    """The split, or None where rows are too few for one."""
    try:
        return make()
    except InputError:
        return None


@given(ROWS, st.sampled_from(["drop", "keep"]), st.sampled_from([0, 0.1, 0.3]))
def test_a_split_by_time_never_sees_the_future(rows, repeats, valid):
    split = unless_empty(lambda: temporal_split(log(rows), valid=valid, test=0.2, repeats=repeats))
    if split is None:
        return
    parts = list(split.parts().values())
    for early, late in itertools.pairwise(parts):
        assert early.times.max() < late.times.min()
    assert split.protocol == "strict"
    assert split.train.times.max() < split.notes["valid_from"] <= split.notes["test_from"] <= split.test.times.min()
    assert set(together(split)) == set(log(rows).keys())
    if repeats == "drop":
        assert len(together(split)) == len(set(together(split)))


def test_shares_of_time_are_met_where_times_allow(events):
    rows = [(n % 5, n % 7) for n in range(35)]
    split = temporal_split(events(rows, time=range(0, 350, 10)), valid=0.2, test=0.2)
    assert [part.num_interactions for part in split.parts().values()] == [21, 7, 7]
    assert split.notes == {"valid_from": 210, "test_from": 280}
    assert temporal_split(events(rows, time=range(35)), valid=0, test=0.2).valid is None
    chosen = temporal_split(events(rows, time=range(35)), at=(10, 30))
    assert [part.num_interactions for part in chosen.parts().values()] == [10, 20, 5]
    assert temporal_split(events(rows, time=range(35)), at=(10, 10)).test.num_interactions == 25


def test_long_times_are_cut_exactly(events):
    start = 1_711_886_400_123_456_789
    split = temporal_split(events([(0, n) for n in range(10)], time=range(start, start + 10)))
    assert [part.num_interactions for part in split.parts().values()] == [8, 1, 1]


def test_a_split_by_time_that_cannot_be_is_refused(events):
    with pytest.raises(InputError, match="expected interactions with times to split by time"):
        temporal_split(events([(0, 0)]))
    with pytest.raises(InputError, match=r"toy: the train part would be empty, times run from 5 to 5 .*at=\(t1, t2\)"):
        temporal_split(events([(0, 0), (0, 1)], time=[5, 5]), name="toy")
    with pytest.raises(InputError, match=r"expected shares that leave some rows to train on, got 0.5 for validation and 0.5"):
        temporal_split(events([(0, 0)], time=[1]), valid=0.5, test=0.5)
    with pytest.raises(InputError, match="got 9 and then 3"):
        temporal_split(events([(0, 0)], time=[1]), at=(9, 3))


@given(ROWS, st.booleans())
def test_leaving_one_out_takes_the_last_of_each_user(rows, valid):
    split = unless_empty(lambda: leave_one_out(log(rows), valid=valid, repeats="keep"))
    if split is None:
        return
    for user in range(6):
        mine = [row[1] for row in sorted((row for row in rows if row[0] == user), key=lambda row: row[2])]
        held = 1 + valid
        enough = len(mine) > held
        assert split.test.user_items(user).tolist() == (mine[-1:] if enough else [])
        if valid:
            assert split.valid.user_items(user).tolist() == (mine[-2:-1] if enough else [])
        assert set(split.train.user_items(user).tolist()) == set(mine[:-held] if enough else mine)
    assert 0 <= split.notes["future_share"] <= 1


def test_the_leak_of_leaving_one_out_is_measured(events):
    rows = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    split = leave_one_out(events(rows, time=[1, 2, 3, 7, 8, 9]))
    assert split.protocol == "lit-loo"
    assert split.notes["future_share"] == 0.5
    with pytest.raises(InputError, match="expected interactions with times to know each user's last"):
        leave_one_out(events(rows).interactions())
    assert leave_one_out(events(rows)).notes == {}
    with pytest.raises(InputError, match="expected users with at least 3 rows, the longest has 2"):
        leave_one_out(events([(0, 0), (0, 1)], time=[1, 2]))


@given(ROWS, st.sampled_from([(0.1, 0.1), (0, 0.2), (0.25, 0.5)]), st.integers(0, 9))
def test_a_random_split_parts_each_user_and_loses_nothing(rows, shares, seed):
    valid, test = shares
    split = unless_empty(lambda: ratio_split(log(rows), valid=valid, test=test, generator=seeded(seed)))
    if split is None:
        return
    assert sorted(together(split)) == sorted(set(log(rows).keys()))
    degrees = sum(part.user_degrees for part in split.parts().values())
    wanted = np.maximum(np.floor(test * degrees + 1e-9), degrees > 1)
    assert (split.test.user_degrees == wanted).all()
    assert (split.train.user_degrees[degrees > 0] >= 1).all()
    assert split.protocol == "lit-ratio"


def test_a_random_split_follows_its_generator_and_treats_items_alike(events):
    rows = [(0, item) for item in range(10)]
    first = [ratio_split(events(rows), generator=seeded(n)).test.indices.tolist() for n in range(300)]
    assert first[:20] == [ratio_split(events(rows), generator=seeded(n)).test.indices.tolist() for n in range(20)]
    counts = np.bincount(np.concatenate(first), minlength=10)
    assert counts.sum() == 300
    assert (np.abs(counts - 30) < 5 * np.sqrt(27)).all()


def test_validation_can_be_taken_out_of_training(events):
    rows = [(user, item) for user in range(5) for item in range(20)]
    split = ratio_split(events(rows), valid=0, test=0.2, generator=seeded())
    more = with_validation(split, 0.25, generator=seeded())
    assert more.selection == "valid-from-train"
    assert more.test is split.test
    assert (more.valid.user_degrees == 4).all()
    assert sorted(together(more)) == sorted(together(split))
    assert more.provenance.counts["train"] == 60
    with pytest.raises(InputError, match="expected a split without a validation part"):
        with_validation(more)
    with pytest.raises(InputError, match="expected a share between 0 and 1"):
        with_validation(split, 1.5)


def test_files_can_be_the_split(write, pairs_of):
    train, test = write("train.csv", "user,item\na,x\nb,y\n"), write("test.csv", "user,item\na,y\nc,z\n")
    split = given_split(train, test, name="mine")
    assert split.users.ids.to_list() == ["a", "b", "c"]
    assert (pairs_of(split.train), pairs_of(split.test)) == ([(0, 0), (1, 1)], [(0, 1), (2, 2)])
    assert split.users_without_train.tolist() == [2]
    assert (split.protocol, split.valid, split.provenance.source) == ("lit-files", None, "train.csv + test.csv")
    lists = given_split(write("train.txt", "1 10\n2 20\n"), write("test.txt", "1 20\n"), write("valid.txt", "2 10\n"))
    assert [part.num_interactions for part in lists.parts().values()] == [2, 1, 1]
    with pytest.raises(InputError, match="user 'a' and item 'x' are in test and before it"):
        given_split(train, train)
