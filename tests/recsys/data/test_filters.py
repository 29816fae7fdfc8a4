import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphcl.errors import InputError
from graphcl.recsys.data import Events, IdMap, at_least, k_core


def test_a_threshold_keeps_what_reaches_it(events, pairs_of):
    data = events([(0, 0), (0, 1), (1, 1)], weight=[4, 3.5, 5]).interactions()
    kept = at_least(data, 4)
    assert pairs_of(kept) == [(0, 0), (1, 1)]
    assert kept.items is data.items
    with pytest.raises(InputError, match="weight 6 or more, the largest is 5"):
        at_least(data, 6)
    with pytest.raises(InputError, match="expected interactions with weights"):
        at_least(events([(0, 0)]).interactions(), 1)


def test_a_core_is_found_round_by_round(events, pairs_of):
    # A square of two users and two items, with a chain on it that falls link by link.
    chain = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 2), (2, 3), (3, 3), (3, 4)]
    data = events(chain, weight=range(9), time=range(9)).interactions()
    core = k_core(data, 2)
    assert pairs_of(core) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert core.users.ids.to_list() == ["u0", "u1"]
    assert core.values.tolist() == core.times.tolist() == [0, 1, 2, 3]
    wide = k_core(data, 2, compact=False)
    assert pairs_of(wide) == pairs_of(core)
    assert wide.users is data.users
    assert k_core(data, 0).num_interactions == 9
    assert pairs_of(k_core(data, 1, items=2)) == pairs_of(k_core(data, 1, items=2, compact=False))


@given(st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1), st.integers(0, 4), st.integers(0, 4))
def test_a_core_is_a_fixed_point_and_the_largest(pairs, k, items):
    user, item = (np.array([pair[n] for pair in sorted(pairs)], dtype=np.int32) for n in (0, 1))
    data = Events(IdMap.count(8), IdMap.count(8), user, item).interactions()
    left = set(pairs)
    while True:  # one weak pair at a time, which is slow and plain
        weak = [(u, i) for u, i in left if sum(a == u for a, _ in left) < k or sum(b == i for _, b in left) < items]
        if not weak:
            break
        left.discard(weak[0])
    if not left:
        with pytest.raises(InputError, match="no interaction is left"):
            k_core(data, k, items=items)
        return
    core = k_core(data, k, items=items, compact=False)
    assert set(zip(core.rows.tolist(), core.indices.tolist(), strict=True)) == left
    small = k_core(data, k, items=items)
    assert k_core(small, k, items=items).sha256 == small.sha256
    assert small.user_degrees.min() >= k
    assert small.item_degrees.min() >= items


def test_an_empty_core_or_a_negative_number_is_refused(events):
    data = events([(0, 0)]).interactions()
    with pytest.raises(
        InputError, match=r"no interaction is left with 5 a user and 5 an item, of 1 interactions .*; ask for fewer"
    ):
        k_core(data)
    with pytest.raises(InputError, match="got -1 a user"):
        k_core(data, -1)


def test_the_training_part_can_be_filtered_alone(events):
    from dataclasses import replace

    from graphcl.recsys.data import temporal_split

    rows = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2), (2, 0), (0, 2)]
    split = temporal_split(events(rows, time=range(7)), valid=0, test=0.3)
    strict = replace(split, train=k_core(split.train, 2, compact=False))
    assert strict.train.num_interactions == 4
    assert strict.test.num_interactions == 2
    assert strict.users_without_train.tolist() == [2]
