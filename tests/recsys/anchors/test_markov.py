from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.anchors import Markov
from graphcl.recsys.anchors.markov import DECAYS, POWERS
from graphcl.recsys.data import IdMap
from graphcl.recsys.ranking import evaluate
from graphcl.recsys.sequences import Sequences, load_sequences, sequence_split

REPOSITORY = Path(__file__).resolve().parents[3]

# Decay; HR and nDCG at 5, 10 and 20 with items of the past left out, and with all listed.
MEASURED = {
    "beauty": (
        0.3,
        (0.0614, 0.0831, 0.1085, 0.0455, 0.0525, 0.0589),
        (0.0591, 0.0803, 0.1063, 0.0428, 0.0496, 0.0561),
    ),
    "sports_and_outdoors": (
        0.7,
        (0.0383, 0.0522, 0.0691, 0.0268, 0.0313, 0.0356),
        (0.0364, 0.0509, 0.0677, 0.0252, 0.0299, 0.0341),
    ),
    "yelp": (
        0.7,
        (0.0199, 0.0322, 0.0509, 0.0127, 0.0167, 0.0214),
        (0.0311, 0.0470, 0.0713, 0.0209, 0.0260, 0.0322),
    ),
}


def of(rows, items=None):
    values = np.array([value for row in rows for value in row], dtype=np.int32)
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    count = int(values.max(initial=-1)) + 1 if items is None else items
    return Sequences(IdMap.count(len(rows), "user"), IdMap.count(count, "item"), values, indptr)


def random_rows(users=25, items=9, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, items, rng.integers(0, 30)).tolist() for _ in range(users)]


def dense(rows, histories, items, *, decay, power, gap, recent):
    """Scores by the definition, one pair at a time."""
    table = np.zeros((items, items))
    for row in rows:
        for late in range(len(row)):
            for early in range(max(late - gap, 0), late):
                table[row[early], row[late]] += 1 / (late - early)
    popularity = np.bincount([item for row in rows for item in row], minlength=items)
    table /= np.maximum(popularity, 1.0) ** power
    scores = np.zeros((len(histories), items)) + 1e-9 * popularity
    for user, row in enumerate(histories):
        for age, item in enumerate(row[::-1][:recent]):
            scores[user] += decay**age * table[item]
    return scores


@pytest.mark.parametrize("settings", [(0.3, 0.0, 10, 20), (1.0, 0.5, 1, 3), (0.7, 0.25, 40, 1)])
def test_scores_are_the_definition(settings):
    decay, power, gap, recent = settings
    rows, others = random_rows(), random_rows(users=6, seed=1)
    model = Markov(decay, power, gap=gap, recent=recent).fit(of(rows, 9))
    named = {"decay": decay, "power": power, "gap": gap, "recent": recent}
    want = dense(rows, rows, 9, **named)
    scores = model.score(torch.arange(25))
    assert scores.dtype == torch.float32
    np.testing.assert_allclose(scores.numpy(), want, rtol=1e-4, atol=1e-12)
    np.testing.assert_allclose(model.score(torch.tensor([7, 3])).numpy(), want[[7, 3]], rtol=1e-4, atol=1e-12)
    found = model.score_histories(of(others, 9)).numpy()
    np.testing.assert_allclose(found, dense(rows, others, 9, **named), rtol=1e-4, atol=1e-12)


def test_order_matters_and_popularity_breaks_zeros():
    model = Markov(0.5, 0.0).fit(of([[0, 1], [0, 1], [1], [2], [2], [2], [2], [3]], 5))
    scores = model.score_histories(of([[0], [1], []], 5)).numpy()
    assert scores[0].argmax() == 1
    assert scores[1].tolist() == scores[2].tolist()
    assert scores[2].argsort()[::-1][:2].tolist() == [2, 1]
    assert scores[2][4] == 0


def test_what_is_not_given_is_tuned_on_validation():
    # Two steps back decides: the newest item says nothing, so that no decay is too slow.
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(300):
        a, noise = rng.integers(0, 10), 20 + rng.integers(0, 10, 2)
        rows.append([a, *noise.tolist(), 10 + a])
    split = sequence_split(of(rows, 30))
    model = Markov(gap=3).fit(split.train, split.test)
    assert {decay for decay, _ in model.tuned_} == set(DECAYS)
    assert {power for _, power in model.tuned_} == set(POWERS)
    assert model.tuned_[model.decay_, model.power_] == max(model.tuned_.values())
    assert Markov(0.4).fit(split.train, split.test).decay_ == 0.4
    assert {power for _, power in Markov(power=0.2).fit(split.train, split.test).tuned_} == {0.2}
    assert Markov(0.4, 0.0).fit(split.train).tuned_ == {}


def test_tuning_ends_with_all_of_training_counted():
    rows = random_rows()
    tuned = Markov().fit(of(rows, 9))
    given = Markov(tuned.decay_, tuned.power_).fit(of(rows, 9))
    assert torch.equal(tuned.score(torch.arange(25)), given.score(torch.arange(25)))
    assert tuned.trained_on == given.trained_on == of(rows, 9).fingerprint


def test_bad_input_is_told():
    for wrong in ({"decay": 0.0}, {"decay": 1.5}, {"power": -1.0}):
        with pytest.raises(InputError, match=r"decay must lie in \(0, 1\] and power be >= 0"):
            Markov(**wrong)
    with pytest.raises(InputError, match="gap and recent must be >= 1; got 0 and 20"):
        Markov(gap=0)
    model = Markov(0.5, 0.0)
    for ask in (lambda: model.score(torch.tensor([0])), lambda: model.score_histories(of([[0]]))):
        with pytest.raises(InputError, match="Markov has learnt nothing yet"):
            ask()
    with pytest.raises(InputError, match="train is empty"):
        model.fit(of([[]], 3))
    with pytest.raises(InputError, match="expected users with at least 2 rows"):
        Markov().fit(of([[0], [1]]))
    with pytest.raises(InputError, match="nobody has both a history and a next event"):
        Markov().fit(of([[0, 1], []]), of([[], [1]]))
    model.fit(of([[0, 1]]))
    with pytest.raises(InputError, match="histories must be over the 2 items of training; got 3"):
        model.score_histories(of([[2]]))
    with pytest.raises(InputError, match=r"users must lie in \[0, 1\); got 1 to 1"):
        model.score(torch.tensor([1]))


@pytest.mark.parametrize(
    "name", ["beauty", *(pytest.param(name, marks=pytest.mark.slow) for name in ("sports_and_outdoors", "yelp"))]
)
def test_real_sets_give_the_measured_figures(name):
    named = os.environ.get("GRAPHCL_DATA")
    root = Path(named) if named else REPOSITORY / "../shared/data"
    if not (root / "recsys").is_dir():
        pytest.skip("needs real data sets: set GRAPHCL_DATA to their root")
    decay, masked, listed = MEASURED[name]
    made = load_sequences(name, root)
    scorer = Markov(decay, 0.0).fit(made.train).scorer(made.histories("test"))
    for protocol, want in (("lit-loo-s3", masked), ("lit-loo-recbole", listed)):
        result = evaluate(scorer, made.split, (5, 10, 20), ("hr", "ndcg"), protocol=protocol)
        assert [round(value, 4) for value in result.metrics.values()] == list(want)
        assert result.checks["graph"] == "passed"
