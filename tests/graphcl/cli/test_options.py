from __future__ import annotations

import inspect
from typing import get_args

import pytest

from graphcl.cli import options
from graphcl.cli.bench import bench
from graphcl.cli.cluster import cluster
from graphcl.cli.embed import embed
from graphcl.cli.listing import listing
from graphcl.cli.run import run


def names(option):
    """What it is called: typer keeps the first name in the place of a default."""
    return tuple(name for name in (option.default, *(option.param_decls or ())) if isinstance(name, str))


SHARED = [name for name, value in vars(options).items() if name[0].isupper() and name != "Path" and get_args(value)]


def test_every_shared_option_explains_itself_in_one_line():
    assert set(SHARED) >= {"Data", "Settings", "Seeds", "Epochs", "Device", "Out", "Selection", "PrintConfig"}
    for name in SHARED:
        (option,) = getattr(options, name).__metadata__
        assert names(option)[0].startswith("--")
        assert option.help
        assert "\n" not in option.help


@pytest.mark.parametrize("command", [run, bench, cluster, embed, listing])
def test_an_option_called_alike_is_the_same_option(command):
    known = {names(getattr(options, name).__metadata__[0]): name for name in SHARED}
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        (declared,) = parameter.annotation.__metadata__
        # Of embed a file or a folder, of bench a folder of runs; of cluster a number or auto.
        own = {embed: "--out", bench: "--out", cluster: "--k"}.get(command)
        if names(declared) in known and names(declared) != (own,):
            assert parameter.annotation == getattr(options, known[names(declared)])
