from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from graphcl.errors import InputError
from graphcl.training import tensor_file
from graphcl.training.tensor_file import UnreadableFileError, read_tensor_file, write_tensor_file

NESTED = {
    "weight": torch.arange(6.0).reshape(2, 3),
    "deep": {"flag": torch.tensor(True), "list": [1, 2.5, None, "straße", torch.tensor([7])]},
    "by number": {0: {"step": torch.tensor(3.0)}, 1: {}},
    "pair": (0.9, (0.999, -1)),
    "array": np.arange(4, dtype=np.int64),
    "scalar": np.float64(0.1),
    "empty": torch.zeros(0, 3),
}


def same(one, two):
    if isinstance(one, torch.Tensor):
        assert isinstance(two, torch.Tensor)
        assert one.dtype == two.dtype
        assert torch.equal(one, two)
    elif isinstance(one, np.ndarray):
        assert isinstance(two, np.ndarray)
        assert one.dtype == two.dtype
        np.testing.assert_array_equal(one, two)
    elif isinstance(one, dict):
        assert list(one) == list(two)
        for key in one:
            same(one[key], two[key])
    elif isinstance(one, list | tuple):
        assert type(one) is type(two)
        for a, b in zip(one, two, strict=True):
            same(a, b)
    else:
        assert one == two


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.safetensors"


def test_nested_state_comes_back_as_it_was(path):
    write_tensor_file(path, NESTED, {"kind": "test"})
    state, about = read_tensor_file(path)
    same(state, NESTED)
    assert about == {"kind": "test"}


@pytest.mark.parametrize("value", [0.1, 1 / 3, 5e-324, -math.inf, math.inf, 2**70, True, None, ""])
def test_plain_values_come_back_exactly(path, value):
    write_tensor_file(path, {"x": value}, {})
    (back,) = read_tensor_file(path)[0].values()
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int32, torch.uint8, torch.bool])
def test_every_type_of_tensor_keeps_its_bits(path, dtype):
    tensor = (torch.randn(5, 3, generator=torch.Generator().manual_seed(0)) * 50).abs().to(dtype)
    write_tensor_file(path, {"x": tensor, "turned": tensor.T}, {})
    state, _ = read_tensor_file(path)
    same(state, {"x": tensor, "turned": tensor.T})


def test_tensors_that_share_memory_are_written_apart(path):
    whole = torch.arange(6.0)
    write_tensor_file(path, {"whole": whole, "part": whole[2:4], "again": whole}, {})
    same(read_tensor_file(path)[0], {"whole": whole, "part": whole[2:4], "again": whole})


def test_what_is_read_lies_in_memory_of_its_own_well_aligned(path):
    write_tensor_file(path, {"odd": torch.ones(3, dtype=torch.uint8), "x": torch.ones(5)}, {})
    state, _ = read_tensor_file(path)
    path.write_bytes(b"")
    assert all(tensor.data_ptr() % 64 == 0 for tensor in state.values())
    assert torch.equal(state["x"], torch.ones(5))


def test_the_same_state_gives_the_same_bytes(path, tmp_path):
    write_tensor_file(path, NESTED, {"a": 1})
    write_tensor_file(tmp_path / "y", NESTED, {"a": 1})
    assert path.read_bytes() == (tmp_path / "y").read_bytes()


def test_others_can_read_the_tensors(path):
    write_tensor_file(path, {"a": {"b": torch.ones(2)}}, {})
    assert torch.equal(load_file(path)["a/b"], torch.ones(2))


@pytest.mark.parametrize("bad", [object(), {1, 2}, b"x", np.array([{}], dtype=object), torch.eye(2).to_sparse()])
def test_what_only_pickling_could_keep_is_refused_by_its_place(path, bad):
    with pytest.raises(TypeError, match=r"'a/b/1' is a .*, which cannot be saved; keep a dense tensor or plain values"):
        write_tensor_file(path, {"a": {"b": [0, bad]}}, {})
    assert not path.exists()


def test_every_way_to_be_damaged_is_one_kind_of_error(path, tmp_path):
    write_tensor_file(path, NESTED, {})
    whole = path.read_bytes()
    for damaged in (b"", b"\0" * 64, whole[:-1], whole[:40], whole[: len(whole) // 2], whole + b"x"):
        path.write_bytes(damaged)
        with pytest.raises(UnreadableFileError, match="cannot be read"):
            read_tensor_file(path)
    path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])  # one bit of a tensor
    with pytest.raises(UnreadableFileError, match="is damaged: its checksum does not fit"):
        read_tensor_file(path)
    place = whole.index(b"0.999")
    path.write_bytes(whole[:place] + b"0.998" + whole[place + 5 :])  # one digit of a number
    with pytest.raises(UnreadableFileError, match="is damaged"):
        read_tensor_file(path)
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        read_tensor_file(tmp_path / "missing")
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        read_tensor_file(tmp_path)


@pytest.mark.parametrize("metadata", [None, {}, {"graphcl": "x"}, {"graphcl": "x\n[]"}, {"graphcl": 'x\n{"format": "a"}'}])
def test_files_of_others_are_none_of_ours(path, metadata):
    save_file({"x": torch.ones(1)}, path, metadata=metadata)
    with pytest.raises(UnreadableFileError, match="damaged or none of our files"):
        read_tensor_file(path)


def test_a_later_format_is_refused_with_a_remedy_and_is_not_called_damaged(path, monkeypatch):
    monkeypatch.setattr(tensor_file, "FORMAT", 2)
    write_tensor_file(path, NESTED, {})
    monkeypatch.undo()
    with pytest.raises(InputError, match="has format version 2, and this graphcl reads up to 1: use a newer graphcl") as caught:
        read_tensor_file(path)
    assert not isinstance(caught.value, UnreadableFileError)
