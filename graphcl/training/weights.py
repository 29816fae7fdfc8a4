"""The weights of a trained system in a file of their own, for whoever wants to embed without training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from graphcl.errors import InputError
from graphcl.training.run_folder import replacing
from graphcl.training.system import System
from graphcl.training.tensor_file import read_tensor_file, write_tensor_file


def save_weights(system: System, path: str | Path) -> None:
    """Writes parameters and buffers as safetensors, under their own names; the file appears whole or not at all.

    Raises:
        TypeError: A part of the state that only pickling could keep.
    """
    with replacing(Path(path)) as temporary:
        write_tensor_file(temporary, system.state_dict(), {"kind": "weights"})


def load_weights(system: System, path: str | Path) -> None:
    """Puts the weights that `save_weights` wrote into a system built with the same settings; its device stays.

    Raises:
        InputError: A damaged file, one that is no file of weights, or weights of another system: the first that is missing,
            unknown or of another shape or type is named. The system is then as it was.
    """
    path = Path(path)
    state, about = read_tensor_file(path)
    if about.get("kind") != "weights":
        raise InputError(f"{path} holds a {about.get('kind')}, not weights; a run's weights are in its model.safetensors")
    put_state(system, state, path)


def put_state(system: System, state: Mapping[str, Any], path: Path) -> None:
    """``load_state_dict`` that compares every name, shape and type first, so that nothing is half loaded."""
    own = system.state_dict()
    for name in own:
        if name not in state:
            raise _misfit(path, f"'{name}' is missing from it")
    for name, value in state.items():
        if name not in own:
            raise _misfit(path, f"it holds '{name}', which the system has not")
        here, there = _shown(own[name]), _shown(value)
        if here != there:
            raise _misfit(path, f"'{name}' is {there} in it and {here} in the system")
    system.load_state_dict(state)


def _shown(value: object) -> str:
    if not isinstance(value, Tensor):
        return "no tensor"
    return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"


def _misfit(path: Path, what: str) -> InputError:
    return InputError(f"{path} does not fit this system: {what}; build the system with the settings it was trained with")
