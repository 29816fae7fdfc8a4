import inspect

import pytest
from torch import nn

import graphcl.losses
from graphcl.losses import LOSSES, InfoNCE, NeighborContrast


def test_names_are_those_of_the_literature():
    assert LOSSES["info-nce"].make is InfoNCE
    assert LOSSES["neighbor-contrast"].make is NeighborContrast
    assert all(name == name.lower() and "_" not in name for name in LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_every_named_loss_says_what_it_is_and_is_made_by_its_defaults(name):
    entry = LOSSES[name]
    assert all(part and part == part.strip() for part in entry[1:])
    parameters = inspect.signature(entry.make).parameters.values()
    needed = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    assert [p.name for p in needed] == (["num_instances"] if name in ("sog-clr", "isog-clr") else [])
    assert isinstance(entry.make(*[10 for _ in needed]), nn.Module)
    assert getattr(graphcl.losses, entry.make.__name__) is entry.make


def test_every_public_loss_is_listed():
    modules = {name for name in graphcl.losses.__all__ if isinstance(getattr(graphcl.losses, name), type) and name[0].isupper()}
    losses = {name for name in modules if issubclass(getattr(graphcl.losses, name), nn.Module)}
    assert losses - {entry.make.__name__ for entry in LOSSES.values()} == {"PairLoss", "LearnableTemperature"}
