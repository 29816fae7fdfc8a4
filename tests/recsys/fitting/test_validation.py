from __future__ import annotations

import numpy as np
import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.fitting import Validation, list_scores
from graphcl.recsys.graph import Bipartite
from graphcl.recsys.ranking import Rows, evaluate
from graphcl.training import NonFiniteLossError


def watch_of(split, build, **more) -> Validation:
    torch.manual_seed(0)
    return Validation(build(Bipartite(split.train)), split.valid, epochs=100, **{"every": 1, **more})


def test_the_scores_are_those_of_evaluate(tastes, build):
    split = tastes()
    watch = watch_of(split, build)
    wanted = evaluate(watch.system.scorer(), split, (20,), ("ndcg",), part="valid")
    terms: dict[str, float] = {}
    watch.on_epoch_end(0, terms)
    assert terms == {"valid ndcg@20": pytest.approx(wanted.metrics["ndcg@20"], abs=1e-12)}
    each = list_scores(watch.system.scorer(), split.train, split.valid, watch.users)
    np.testing.assert_allclose(each, wanted.per_user["ndcg@20"].to_numpy(), atol=1e-12)


def test_only_every_so_many_epochs_and_the_last_are_scored(tastes, build):
    watch = watch_of(tastes(), build, every=3)
    watch.epochs = 8
    scored = []
    for epoch in range(8):
        terms: dict[str, float] = {}
        watch.on_epoch_end(epoch, terms)
        scored += [epoch] if terms else []
    assert scored == [2, 5, 7]


def test_the_best_weights_come_back_and_patience_stops(tastes, build):
    watch = watch_of(tastes(), build, patience=2)
    tables = [torch.randn_like(watch.system.item_table) for _ in range(5)]
    values, stops = [], []
    for epoch, table in enumerate(tables):
        with torch.no_grad():
            watch.system.item_table.copy_(table)
        terms: dict[str, float] = {}
        stops.append(watch.on_epoch_end(epoch, terms))
        values.append(terms["valid ndcg@20"])
    best = int(np.argmax(values))
    assert watch.best_epoch == best
    assert watch.best_value == max(values)
    waited, highest = 0, -1.0
    for value, stopped in zip(values, stops, strict=True):
        waited, highest = (0, value) if value > highest else (waited + 1, highest)
        assert stopped == (waited >= 2)
    watch.put_back()
    assert torch.equal(watch.system.item_table, tables[best])


def test_its_memory_comes_back_whole(tastes, build):
    split = tastes()
    first, second = watch_of(split, build, patience=3), watch_of(split, build, patience=3)
    for epoch in range(2):
        first.on_epoch_end(epoch, {})
    second.load_state_dict(first.state_dict())
    with torch.no_grad():
        second.system.item_table.zero_()
    assert (second.best_epoch, second.best_value) == (first.best_epoch, first.best_value)
    assert [second.on_epoch_end(epoch, {}) for epoch in (2, 3)] == [False, True]  # one had been waited already
    second.put_back()
    assert torch.equal(second.system.item_table, first.system.item_table)


def test_a_sample_of_users_is_the_same_for_the_same_seed(tastes, build):
    drawn = [watch_of(tastes(), build, users=7, generator=torch.Generator().manual_seed(3)).users for _ in range(2)]
    np.testing.assert_array_equal(*drawn)
    assert len(drawn[0]) == 7
    assert (np.diff(drawn[0]) > 0).all()


def test_users_without_a_history_do_not_choose(build):
    train = Rows(np.array([0, 2, 2, 3]), np.array([0, 1, 2], dtype=np.int32), 3, 4)
    valid = Rows(np.array([0, 1, 2, 2]), np.array([2, 3], dtype=np.int32), 3, 4)
    watch = Validation(build(Bipartite(train)), valid, epochs=1)
    assert watch.users.tolist() == [0]


def test_weights_that_diverged_are_no_input_error(tastes, build):
    watch = watch_of(tastes(), build)
    with torch.no_grad():
        watch.system.user_table.fill_(float("nan"))
    with pytest.raises(NonFiniteLossError, match="epoch 4: users must be finite"):
        watch.on_epoch_end(4, {})


def test_bad_settings_are_refused(tastes, build):
    split = tastes()
    for name in ("every", "patience", "users"):
        with pytest.raises(InputError, match=f"{name} must be 1 or more; got 0"):
            watch_of(split, build, **{name: 0})
    with pytest.raises(InputError, match="validation must be over the 40 users and 30 items of training; got 12 and 9"):
        Validation(build(Bipartite(split.train)), tastes(12, 9).valid, epochs=1)
    nobody = Rows(np.zeros(41, dtype=np.int64), np.zeros(0, dtype=np.int32), 40, 30)
    with pytest.raises(InputError, match="no user has both"):
        Validation(build(Bipartite(split.train)), nobody, epochs=1)
