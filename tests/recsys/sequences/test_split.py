import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphcl.errors import InputError
from graphcl.recsys.anchors import Markov
from graphcl.recsys.data import Events, IdMap, leave_one_out, temporal_split
from graphcl.recsys.ranking import evaluate, fingerprint
from graphcl.recsys.sequences import Sequences, next_events, sequence_split

ROWS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 30)), min_size=1, max_size=60)


def log(rows, times=True):
    user, item, time = (np.array([row[n] for row in rows], dtype=np.int64) for n in range(3))
    users, items = IdMap.count(6, "user"), IdMap.count(10, "item")
    return Events(users, items, user.astype(np.int32), item.astype(np.int32), None, time if times else None)


def unless_empty(make):
    """The split, or None where rows are too few for one."""
    try:
        return make()
    except InputError:
        return None


def same_pairs(first, second):
    return all(
        mine.indices.tolist() == theirs.indices.tolist() and mine.indptr.tolist() == theirs.indptr.tolist()
        for mine, theirs in zip(first.parts().values(), second.parts().values(), strict=True)
    )


def whole_again(made, rows, times):
    parts = [made.train, made.valid, made.test]
    together = parts[0]
    for part in parts[1:]:
        together = together if part is None else together.extended(part)
    return together.sha256 == Sequences.of_events(log(rows, times)).sha256


@given(ROWS, st.booleans(), st.booleans())
def test_leaving_one_out_is_that_of_pairs_with_the_order_kept(rows, valid, times):
    made = unless_empty(lambda: sequence_split(log(rows, times), valid=valid))
    if made is None:
        return
    assert same_pairs(made.split, leave_one_out(log(rows, times), valid=valid, repeats="keep"))
    assert whole_again(made, rows, times)
    assert made.for_part("test") is made.split
    assert set(made.test.lengths) <= {0, 1}
    held = 1 + valid
    for user in range(6):
        mine = [row[1] for row in sorted((row for row in rows if row[0] == user), key=lambda row: row[2] if times else 0)]
        known = made.histories("test")
        wanted = mine[:-1] if len(mine) > held else mine
        assert known.values[known.indptr[user] : known.indptr[user + 1]].tolist() == wanted
    if valid:
        assert made.for_part("valid") is made.split
        assert made.histories("valid") is made.train
    else:
        assert made.valid is None


@given(ROWS, st.booleans())
def test_one_cut_for_everybody_and_one_target_a_user(rows, valid):
    made = unless_empty(lambda: sequence_split(log(rows), how="temporal", valid=valid, shares=(0.2, 0.2)))
    if made is None:
        return
    by_pairs = temporal_split(log(rows), valid=0.2 if valid else 0, test=0.2, repeats="keep")
    assert made.split.protocol == "strict"
    assert made.split.notes["test_from"] == by_pairs.notes["test_from"]
    assert whole_again(made, rows, True)
    assert made.train.times.max() < made.test.times.min()
    assert made.train.fingerprint == fingerprint(made.split.train)
    targets = [("test", made.test, made.split.test)]
    if valid:
        targets.append(("valid", made.valid, made.for_part("valid").valid))
        # All of validation is the past of the test.
        assert set(made.split.valid.indices) == set(made.valid.values)
    for _, part, target in targets:
        assert (target.user_degrees == (part.lengths > 0)).all()
        for user in np.flatnonzero(part.lengths):
            assert target.user_items(user)[0] == part.values[part.indptr[user]]


def test_evaluate_takes_the_split(events):
    rng = np.random.default_rng(0)
    rows = [(int(rng.integers(30)), int(rng.integers(12)), time) for time in range(600)]
    for how in ("leave-one-out", "temporal"):
        made = sequence_split(events(rows), how=how)
        model = Markov(0.5, 0.0).fit(made.train)
        for part in ("valid", "test"):
            result = evaluate(model.scorer(made.histories(part)), made.for_part(part), (5,), part=part)
            assert result.counts["targets"] == result.counts["users"]
            assert result.checks["graph"] == "passed"
        refit = Markov(0.5, 0.0).fit(made.histories("test"))
        assert evaluate(refit.scorer(made.histories("test")), made.split, (5,)).checks["graph"] == "refit on train and valid"


def test_items_between_the_cuts_are_masked_in_the_test(events):
    # User 0 has 1 and 2 between the cuts: the test must not list either, though validation asks for 1 alone.
    rows = [(0, 0, 0), (1, 0, 1), (1, 1, 2), (1, 2, 3), (1, 3, 4), (0, 1, 5), (0, 2, 6), (0, 3, 7)]
    made = sequence_split(events(rows), how="temporal", at=(5, 7))
    assert made.split.valid.user_items(0).tolist() == [1, 2]
    assert made.for_part("valid").valid.user_items(0).tolist() == [1]
    assert made.histories("test").values[:3].tolist() == [0, 1, 2]
    result = evaluate(Markov(0.5, 0.0).fit(made.train).scorer(made.histories("test")), made.split, (1,), ("hr",))
    assert result.metrics["hr@1"] == 1


def test_long_times_are_cut_exactly(events):
    start = 1_711_886_400_123_456_789
    made = sequence_split(events([(0, n, start + n) for n in range(10)]), how="temporal")
    assert [part.num_events for part in (made.train, made.valid, made.test)] == [8, 1, 1]
    without = sequence_split(events([(0, n, start + n) for n in range(10)]), how="temporal", valid=False)
    assert (without.train.num_events, without.valid, without.test.num_events) == (9, None, 1)


def test_users_too_short_to_judge_are_trained_on(events):
    made = sequence_split(events([(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]))
    assert made.train.lengths.tolist() == [1, 2, 1]
    assert made.test.lengths.tolist() == [0, 0, 1]
    assert next_events(made.train).values.tolist() == [0, 0, 0]


def test_notes_tell_ties_and_what_was_collapsed(events):
    rows = [(0, 5, 1), (0, 5, 1), (0, 6, 2), (0, 5, 3), (0, 5, 3)]
    made = sequence_split(events(rows), dedup_consecutive=True)
    assert made.histories("test").values.tolist() == [5, 6]
    assert made.test.values.tolist() == [5]  # a target may be an item of the past
    assert (made.split.notes["collapsed"], made.split.notes["tie_share"]) == (2, 0)
    plain = sequence_split(events(rows))
    assert plain.split.notes["tie_share"] == 0.5
    assert "collapsed" not in plain.split.notes
    assert "tie_share" not in sequence_split(events([row[:2] for row in rows])).split.notes


def test_bad_input_is_told(events):
    rows = [(0, 0), (0, 1), (0, 2)]
    with pytest.raises(InputError, match="unknown way to split sequences 'loo'"):
        sequence_split(events(rows), how="loo")
    with pytest.raises(InputError, match="expected interactions with times to split by time"):
        sequence_split(events(rows), how="temporal")
    with pytest.raises(InputError, match="toy: expected users with at least 3 rows, the longest has 2"):
        sequence_split(events(rows[:2]), name="toy")
    made = sequence_split(events(rows), valid=False)
    for ask in (made.histories, made.for_part):
        with pytest.raises(InputError, match="the split has no validation part"):
            ask("valid")
        with pytest.raises(InputError, match="unknown part 'train'"):
            ask("train")
