from __future__ import annotations

import pytest

from graphcl.errors import InputError
from graphcl.recsys.ranking import evaluate
from graphcl.recsys.sequences import sequence_split
from graphcl.tasks import RunConfig
from graphcl.tasks.recommender import Recommender
from graphcl.tasks.sequential_objective import NextItemObjective
from graphcl.tasks.tune_objective import make_objective
from graphcl.training import TrainingConfig

MODEL = {"dim": 8, "layers": 1, "max_length": 8, "batch_size": 64}


def config(system="sasrec", **more) -> RunConfig:
    training = TrainingConfig(epochs=4, lr=0.02, device="cpu")
    return RunConfig(system, "walks", seeds=(0,), every=1, model=MODEL if system != "markov" else {}, training=training, **more)


@pytest.fixture(scope="module")
def split(walks):
    return sequence_split(walks, name="walks")


@pytest.mark.parametrize("system", ["sasrec", "markov"])
@pytest.mark.parametrize("protocol", ["lit-loo-s3", "lit-loo-recbole"])
def test_a_trial_is_worth_what_validation_says_by_the_protocol(split, system, protocol):
    wish = config(system, protocol=protocol)
    objective = make_objective(wish, split)
    assert isinstance(objective, NextItemObjective)
    masked = protocol == "lit-loo-s3"
    model = Recommender(
        system, params=wish.model, training=wish.training, every=1, refit=False, mask_seen=masked, seed=3
    ).fit(split)  # fmt: skip
    scorer = model.trained_.scorer_after(split.train)
    want = evaluate(scorer, split.for_part("valid"), (10,), ("ndcg",), part="valid", protocol=protocol).metrics["ndcg@10"]
    assert objective.value(wish, 3) == pytest.approx(want, abs=1e-6)
    assert protocol in objective.said


def test_the_test_part_is_empty(split):
    objective = NextItemObjective(config(), split)
    assert objective.split.test.num_events == objective.split.split.test.num_interactions == 0
    assert split.test.num_events == 60


def test_without_validation_the_last_events_are_held_out(walks):
    objective = NextItemObjective(config(), sequence_split(walks, valid=False))
    assert "(valid-from-train)" in objective.said
    assert objective.split.valid.lengths.max() == 1


def test_what_a_run_would_refuse_is_refused(split):
    with pytest.raises(InputError, match="the split was made by protocol 'lit-loo'"):
        NextItemObjective(config(protocol="lit-ratio"), split)
