from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest
import torch

from graphcl.errors import InputError
from graphcl.models import SYSTEMS
from graphcl.recsys.data import Split, load
from graphcl.recsys.methods import find_method
from graphcl.recsys.ranking import fingerprint
from graphcl.recsys.ranking.rows import union
from graphcl.recsys.sequences import Sequences, sequence_split
from graphcl.tasks.recommender_fit import Columns, Wanted, judged, learn
from graphcl.training import TrainingConfig

SMALL = {"dim": 8, "layers": 1, "max_length": 8, "batch_size": 64}
SEQUENTIAL = [name for name, entry in SYSTEMS.items() if entry.task == "sequential"]


def wanted(method: str = "sasrec", *, params=None, epochs: int = 2, **more) -> Wanted:
    settings = {
        "selection": "valid-from-train", "refit": None, "every": 1, "patience": 3, "mask_seen": True, "seed": 0,
        "progress": False, **more,
    }  # fmt: skip
    training = TrainingConfig(epochs=epochs, lr=0.02, device="cpu")
    own = params if params is not None else {} if method == "markov" else SMALL
    return Wanted(find_method(method), own, training, **settings)


class Closed:
    """Sequences whose test part nobody may look at."""

    def __init__(self, split) -> None:
        self.train, self.valid = split.train, split.valid

    @property
    def test(self):
        raise AssertionError("the test part was read")


@pytest.fixture(scope="module")
def split(walks):
    return sequence_split(walks)


@pytest.mark.parametrize("method", ["markov", *SEQUENTIAL])
def test_a_splits_own_validation_chooses_is_no_training_and_is_known(split, method):
    found = learn(wanted(method), Closed(split), Columns())
    assert fingerprint(found.rows) == fingerprint(split.split.train)
    assert found.order.learned.fingerprint == split.train.fingerprint
    assert found.order.histories.values.tolist() == split.histories("test").values.tolist()
    assert (found.best_epoch is None) == (method == "markov") == (found.system is None)


@pytest.mark.parametrize("method", ["markov", "sasrec"])
def test_a_refit_learns_from_validation_too(split, method):
    found = learn(wanted(method, refit=True), split, Columns())
    assert fingerprint(found.rows) == fingerprint(union(split.split.train, split.split.valid))
    assert found.order.learned.lengths.tolist() == found.order.histories.lengths.tolist()
    again = learn(wanted(method, refit=True), split, Columns())
    scores = [one.model.scorer(split.histories("test")).score(torch.arange(60)) for one in (found, again)]
    assert torch.equal(*scores)


@pytest.mark.parametrize("method", ["markov", "sasrec"])
def test_without_validation_the_last_events_choose_and_are_learned_from_after_all(walks, method):
    found = learn(wanted(method), walks, Columns())
    assert found.order.learned.num_events == found.order.histories.num_events == len(walks)
    kept = learn(wanted(method, refit=False), walks, Columns())
    shorter = 0 if method == "markov" else 60
    assert kept.order.learned.num_events == len(walks) - shorter
    assert kept.order.histories.num_events == len(walks)


def test_without_a_choice_the_last_epoch_speaks(split):
    found = learn(wanted(selection="last", epochs=3), split, Columns())
    assert (found.best_epoch, len(found.history)) == (None, 3)
    assert found.order.learned.num_events == split.train.num_events


def test_markov_is_tuned_as_lists_will_be_made(split):
    models = [learn(wanted("markov", mask_seen=seen), split, Columns()).model for seen in (True, False)]
    assert [model.mask_seen for model in models] == [True, False]
    assert models[0].tuned_ != models[1].tuned_
    given = learn(wanted("markov", params={"decay": 0.9, "power": 0.0}), split, Columns()).model
    assert given.tuned_ == {}


def test_all_kinds_of_data_with_an_order_are_the_same(walks, tmp_path):
    columns = {"who": walks.users.decode(walks.user), "what": walks.items.decode(walks.item), "when": walks.time}
    frame = pl.DataFrame(columns)
    frame.write_csv(tmp_path / "log.csv")
    in_order = replace(walks.take(walks.by_time()), time=None)
    want = learn(wanted("markov"), Sequences.of_events(walks), Columns())
    for data in (walks, in_order, frame, tmp_path / "log.csv"):
        found = learn(wanted("markov"), data, Columns("who", "what", "when"))
        assert found.model.tuned_ == pytest.approx(want.model.tuned_)
        assert found.model.weights_.sum() == pytest.approx(want.model.weights_.sum())
        for one in ("u07", "u59"):
            assert history_of(found, one) == history_of(want, one)


def history_of(found, user: str) -> list[str]:
    row = int(found.users.encode([user])[0])
    own = found.order.histories
    return found.items.decode(own.values[own.indptr[row] : own.indptr[row + 1]]).to_list()


def test_data_without_an_order_are_refused(walks, split):
    frame = pl.DataFrame({"user": ["a", "a"], "item": ["x", "y"]})
    with pytest.raises(InputError, match="sasrec learns from the order of events, and these have no times: name their column"):
        learn(wanted(), frame, Columns())
    with pytest.raises(InputError, match="these have no times"):
        learn(wanted(), load("davis").train, Columns())
    with pytest.raises(InputError, match="a Split of pairs has none: pass a SequenceSplit"):
        learn(wanted(), split.split, Columns())


def test_sequences_are_pairs_to_other_methods(walks, split):
    popular = learn(wanted("popularity", params={}), Sequences.of_events(walks), Columns())
    assert popular.order is None
    assert fingerprint(popular.rows) == fingerprint(walks.interactions())
    assert fingerprint(learn(wanted("popularity", params={}), split, Columns()).rows) == fingerprint(split.split.train)


def test_a_split_is_judged_with_the_validation_that_was_held_out(split):
    assert judged(split, "valid-from-train") is split
    bare = replace(split, valid=None, split=replace(split.split, valid=None, selection="none"))
    assert judged(bare, "last") is bare
    assert judged(bare, "valid-from-train").valid.lengths.max() == 1
    pairs = load("davis")
    assert isinstance(judged(replace(pairs, valid=None, selection="none"), "valid-from-train"), Split)


def test_unknown_parameters_are_refused(split):
    with pytest.raises(InputError, match="unknown parameter of sasrec 'width'"):
        learn(wanted(params={"width": 3}), split, Columns())
    with pytest.raises(InputError, match="unknown parameter of markov 'gapp'; did you mean gap"):
        learn(wanted("markov", params={"gapp": 3}), split, Columns())
