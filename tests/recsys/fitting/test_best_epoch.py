from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from graphcl.errors import InputError
from graphcl.recsys.fitting import BestEpoch
from graphcl.recsys.fitting.best_epoch import draw_users
from graphcl.training import NonFiniteLossError


class Said(BestEpoch):
    """Says the values that it was given."""

    metric = "luck"

    def __init__(self, values, **more) -> None:
        super().__init__(nn.Linear(1, 1), **{"epochs": len(values), "every": 1, "patience": 2, **more})
        self.values = iter(values)

    def value(self) -> float:
        return next(self.values)


def run(watch: Said, epochs: int) -> list[tuple[bool, dict[str, float]]]:
    answers = []
    for epoch in range(epochs):
        with torch.no_grad():
            watch.system.weight.fill_(epoch)
        terms: dict[str, float] = {}
        answers.append((watch.on_epoch_end(epoch, terms), terms))
    return answers


def test_the_first_of_equal_epochs_stays_the_best_and_patience_counts_from_it():
    watch = Said([0.1, 0.3, 0.3, 0.2])
    assert run(watch, 4) == [
        (False, {"valid luck": 0.1}), (False, {"valid luck": 0.3}), (False, {"valid luck": 0.3}), (True, {"valid luck": 0.2}),
    ]  # fmt: skip
    assert (watch.best_epoch, watch.best_value) == (1, 0.3)
    watch.put_back()
    assert float(watch.system.weight.detach()) == 1.0


def test_an_epoch_worth_nothing_is_better_than_none():
    watch = Said([0.0])
    run(watch, 1)
    assert watch.best_epoch == 0


def test_only_every_so_many_epochs_and_the_last_are_scored():
    answers = run(Said([0.1, 0.2, 0.3], epochs=5, every=2), 5)
    assert [bool(terms) for _, terms in answers] == [False, True, False, True, True]


def test_what_cannot_be_scored_has_diverged():
    class Astray(Said):
        def value(self) -> float:
            raise InputError("items must be finite")

    with pytest.raises(NonFiniteLossError, match="epoch 3: items must be finite"):
        Astray([0.1]).on_epoch_end(3, {})


def test_users_are_drawn_in_their_order_and_all_are_enough():
    users = np.array([2, 5, 7, 11])
    assert draw_users(users, None, None) is users
    assert draw_users(users, 4, None) is users
    drawn = draw_users(users, 3, torch.Generator().manual_seed(0))
    assert len(drawn) == 3
    assert (np.diff(drawn) > 0).all()
    assert set(drawn) < set(users)
    with pytest.raises(InputError, match="users must be 1 or more; got 0"):
        draw_users(users, 0, None)


def test_numbers_below_one_are_refused():
    for name in ("every", "patience"):
        with pytest.raises(InputError, match=f"{name} must be 1 or more; got 0"):
            Said([0.1], **{name: 0})
