from __future__ import annotations

import numpy as np
import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.data import Events, IdMap
from graphcl.recsys.fitting import NextItem
from graphcl.recsys.ranking import evaluate
from graphcl.recsys.sequences import Sequences, sequence_split
from graphcl.training import NonFiniteLossError


@pytest.mark.parametrize(("mask_seen", "protocol"), [(True, "lit-loo-s3"), (False, "lit-loo-recbole")])
def test_the_score_is_that_of_evaluate_under_either_protocol(walks, build_sequences, mask_seen, protocol):
    split = walks(items=12)
    torch.manual_seed(0)
    system = build_sequences(split.train)
    watch = NextItem(system, split.valid, mask_seen=mask_seen, epochs=1)
    scorer = system.scorer(split.histories("valid"))
    wanted = evaluate(scorer, split.for_part("valid"), (10,), ("ndcg",), part="valid", protocol=protocol)
    terms: dict[str, float] = {}
    watch.on_epoch_end(0, terms)
    assert terms == {"valid ndcg@10": pytest.approx(wanted.metrics["ndcg@10"], abs=1e-12)}


def test_of_a_part_that_goes_on_only_the_next_event_is_to_be_found(build_sequences):
    rng = np.random.default_rng(0)
    events = Events(
        IdMap.count(20, "user"), IdMap.count(9, "item"), rng.integers(20, size=400).astype(np.int32),
        rng.integers(9, size=400).astype(np.int32), None, np.arange(400),
    )  # fmt: skip
    split = sequence_split(events, how="temporal")
    watch = NextItem(build_sequences(split.train), split.valid, epochs=1)
    assert split.valid.lengths.max() > 1
    assert watch.target.user_degrees.max() == 1
    firsts = {user: int(split.valid.values[start]) for user, start in enumerate(split.valid.indptr[:-1])}
    for user in watch.users:
        assert watch.target.user_items(int(user)).tolist() == [firsts[user]]


def test_a_sample_of_users_is_scored_as_if_it_were_all(walks, build_sequences):
    split = walks()
    torch.manual_seed(0)
    system = build_sequences(split.train)
    some = NextItem(system, split.valid, epochs=1, users=7, generator=torch.Generator().manual_seed(3))
    scores = evaluate(
        system.scorer(split.train), split.for_part("valid"), (10,), ("ndcg",), part="valid", protocol="lit-loo-s3"
    ).per_user  # fmt: skip
    wanted = scores.filter(scores["user"].is_in(some.users.tolist()))["ndcg@10"].mean()
    assert len(some.users) == 7
    assert some.value() == pytest.approx(wanted, abs=1e-6)


def test_weights_that_diverged_are_no_input_error(walks, build_sequences):
    split = walks()
    watch = NextItem(build_sequences(split.train), split.valid, epochs=9)
    with torch.no_grad():
        watch.system.encoder.item_table.fill_(float("nan"))
    with pytest.raises(NonFiniteLossError, match=r"epoch 8: .* must be finite"):
        watch.on_epoch_end(8, {})


def test_other_users_and_nobody_to_score_are_refused(walks, build_sequences):
    split = walks()
    system = build_sequences(split.train)
    with pytest.raises(InputError, match="validation must be over the 60 users and 20 items of training; got 9 and 20"):
        NextItem(system, walks(users=9).valid, epochs=1)
    nobody = Sequences(split.train.users, split.train.items, np.zeros(0, dtype=np.int32), np.zeros(61, dtype=np.int64))
    with pytest.raises(InputError, match="no user has both"):
        NextItem(system, nobody, epochs=1)
