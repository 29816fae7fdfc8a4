"""Nested state in one safetensors file: tensors as they are, everything else as JSON in its metadata. Nothing is pickled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from graphcl.errors import InputError

FORMAT = 1  # a reader refuses files of a later one


class UnreadableFileError(InputError):
    """A file that is damaged, or that is none of ours."""


def write_tensor_file(path: Path, state: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Writes nested state as one file.

    Dictionaries, lists and tuples may nest; leaves are dense tensors, NumPy arrays, numbers, strings, booleans and ``None``.
    A tensor's name in the file is the path to it. Numbers come back exactly. A checksum covers all of it.

    Args:
        path: Where to; see `replacing` for a file that appears whole or not at all.
        state: What to write.
        about: Plain values that a reader wants to see before it trusts the rest.

    Raises:
        TypeError: A leaf that only pickling could keep; the message names it.
    """
    tensors: dict[str, Tensor] = {}
    tree = _pack(state, "", tensors)
    header = json.dumps({"format": FORMAT, "about": dict(about), "tree": tree})
    # One entry, since several would be written in any order, and the same state should give the same bytes.
    save_file(tensors, path, metadata={"graphcl": f"{_checksum(header, tensors)}\n{header}"})


def read_tensor_file(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """State and ``about`` as they were written; tensors on the CPU, in memory of their own.

    Raises:
        UnreadableFileError: The file is missing, damaged, or was not written by us.
        InputError: It was written by a later version of the format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            checksum, _, text = (file.metadata() or {})["graphcl"].partition("\n")
            header = json.loads(text)
            if header["format"] > FORMAT:
                raise _later(path, header["format"])
            # Copied out of the mapped file: sums may depend on how memory is aligned, and a state must go on as it was.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118  not a mapping
        if checksum != _checksum(text, tensors):
            raise UnreadableFileError(f"{path} is damaged: its checksum does not fit its content")
        return _unpack(header["tree"], tensors), header["about"]
    except (SafetensorError, OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise UnreadableFileError(f"{path} cannot be read ({_reason(error)}): it is damaged or none of our files") from error


def _pack(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor) and value.layout == torch.strided:
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()  # copied, since a file may not hold shared memory
        return {"$tensor": name}
    if isinstance(value, np.ndarray) and value.dtype != object:
        tensors[name] = torch.from_numpy(np.ascontiguousarray(value).reshape(value.shape)).clone()
        return {"$array": name}
    if isinstance(value, Mapping):
        inner = [(key, _pack(part, f"{name}/{key}" if name else str(key), tensors)) for key, part in value.items()]
        plain = all(isinstance(key, str) and not key.startswith("$") for key in value)
        return dict(inner) if plain else {"$pairs": [list(pair) for pair in inner]}
    if isinstance(value, list | tuple):
        parts = [_pack(part, f"{name}/{index}", tensors) for index, part in enumerate(value)]
        return parts if isinstance(value, list) else {"$tuple": parts}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"'{name}' is a {type(value).__name__}, which cannot be saved; keep a dense tensor or plain values there")


def _unpack(node: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(node, list):
        return [_unpack(part, tensors) for part in node]
    if not isinstance(node, dict):
        return node
    if "$tensor" in node:
        return tensors[node["$tensor"]]
    if "$array" in node:
        return tensors[node["$array"]].numpy()
    if "$pairs" in node:
        return {key: _unpack(part, tensors) for key, part in node["$pairs"]}
    if "$tuple" in node:
        return tuple(_unpack(part, tensors) for part in node["$tuple"])
    return {key: _unpack(part, tensors) for key, part in node.items()}


def _checksum(header: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _later(path: Path, version: object) -> InputError:
    return InputError(f"{path} has format version {version}, and this graphcl reads up to {FORMAT}: use a newer graphcl")


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
