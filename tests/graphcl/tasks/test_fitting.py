from __future__ import annotations

import pytest
import torch

from graphcl.errors import InputError
from graphcl.models import find_system
from graphcl.tasks.fitting import build_system, train_system
from graphcl.training import TrainingConfig


def test_a_system_is_built_with_sizes_by_position_and_settings_by_name():
    grace = build_system(find_system("grace"), (5,), {"hidden": 7})
    assert [tuple(weight.shape) for weight in grace.encoder.weights] == [(5, 14), (14, 7)]
    assert build_system(find_system("pamc"), (5, 3), {"hidden": 7}).n_clusters == 3


def test_an_unknown_setting_and_a_size_by_name_are_refused():
    with pytest.raises(InputError, match="unknown parameter of grace 'hiden'; did you mean hidden"):
        build_system(find_system("grace"), (5,), {"hiden": 7})
    with pytest.raises(InputError, match="unknown parameter of grace 'in_features'"):
        build_system(find_system("grace"), (5,), {"in_features": 7})


@pytest.mark.parametrize("title", [None, "mine"])
def test_training_tells_the_observers_and_shows_a_bar_where_it_has_a_title(planted, capsys, title):
    heard = []

    class Ear:
        def on_epoch_end(self, epoch, terms):
            heard.append((epoch, sorted(terms)))

    torch.manual_seed(0)
    system = build_system(find_system("grace"), (5,), {"hidden": 4, "projection": 4})
    state = train_system(system, planted(), TrainingConfig(epochs=2, device="cpu"), [Ear()], None, title)
    assert heard == [(0, ["loss"]), (1, ["loss"])]
    assert len(state.history) == 2
    assert not system.training
    assert ("mine: epoch 2/2" in capsys.readouterr().err) == (title is not None)
