import uuid

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphcl.errors import InputError
from graphcl.recsys.data import IdMap


@given(st.lists(st.one_of(st.text(min_size=1)), unique=True, min_size=1), st.randoms())
def test_ids_come_back_as_they_went_in(ids, random):
    table = IdMap.of(ids)
    asked = random.choices(range(len(ids)), k=7)
    assert table.encode([ids[n] for n in asked]).tolist() == asked
    assert table.decode(np.array(asked)).to_list() == [ids[n] for n in asked]


@given(st.lists(st.integers(-(2**63), 2**63 - 1)), st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_growing_keeps_numbers_and_adds_new_ids_in_order_of_appearance(first, second):
    small, codes = IdMap.of([]).grow(first)
    large, more = small.grow(second)
    assert large.ids.to_list() == list(dict.fromkeys(first + second))
    assert large.decode(codes).to_list() == first
    assert large.decode(more).to_list() == second
    assert large.ids[: len(small)].to_list() == small.ids.to_list()


def test_ids_of_any_type_are_integers_or_text():
    first, second = uuid.uuid4(), uuid.uuid4()
    for ids in ([first, second], np.array([first, second]), pd.Series([first, second])):
        assert IdMap.of(ids).ids.to_list() == [str(first), str(second)]
    for ids in (
        [3, 1],
        np.array([3, 1], dtype=np.int16),
        pd.Series([3, 1]),
        pl.Series([3, 1], dtype=pl.UInt32),
        torch.tensor([3, 1]),
    ):
        assert IdMap.of(ids).ids.to_list() == [3, 1]
        assert IdMap.of(ids).ids.dtype == pl.Int64
    assert IdMap.of(np.array([2**64 - 1], dtype=np.uint64)).encode(np.array([2**64 - 1], dtype=np.uint64)).tolist() == [0]
    assert IdMap.of(pl.Series(["b", "a"], dtype=pl.Categorical)).ids.to_list() == ["b", "a"]
    assert IdMap.of([1.0, 2.5]).ids.to_list() == ["1.0", "2.5"]


def test_another_spelling_of_an_id_is_found_but_leading_zeros_matter():
    assert IdMap.of([7, 8]).find(["8", "7", "007", "x", None]).tolist() == [1, 0, -1, -1, -1]
    assert IdMap.of(["7", "007"]).find([7, 8]).tolist() == [0, -1]


def test_unknown_ids_are_listed():
    table = IdMap.of(["a", "b"], "item")
    with pytest.raises(InputError, match=r"unknown item ids: 'x', 'y'; known are 2, such as 'a'"):
        table.encode(["a", "x", "y", "x"])
    with pytest.raises(InputError, match=r"'0', '1', '2', '3', '4' and 3 more"):
        table.encode([str(n) for n in range(8)])
    with pytest.raises(InputError, match="none is known"):
        IdMap.of([]).encode([1])
    with pytest.raises(InputError, match="expected item numbers from 0 to 1, got 2"):
        table.decode(np.array([0, 2]))


def test_repeated_missing_or_odd_ids_are_refused():
    with pytest.raises(InputError, match="expected user ids that differ, got 'a' twice"):
        IdMap.of(["a", "b", "a"], "user")
    with pytest.raises(InputError, match="number 1 has none"):
        IdMap.of(["a", None])
    with pytest.raises(InputError, match=r"got Float64; use IdMap.of"):
        IdMap(pl.Series([1.0]))
    with pytest.raises(InputError, match=r"got the text 'abc'; for one id give \['abc'\]"):
        IdMap.of("abc")
    with pytest.raises(InputError, match=r"got an array of shape \(2, 2\)"):
        IdMap.of(np.eye(2))
    with pytest.raises(InputError, match=r"got List\(Int64\) in column 'user'"):
        IdMap.of(pl.Series("user", [[1], [2]]))
    with pytest.raises(InputError, match="got one of another kind"):
        IdMap.of([1, 2]).grow(["x"])


@pytest.mark.parametrize("ids", [[5, -1, 2**62], ["ä", "b\nc", "日本"], []])
def test_a_saved_map_loads_with_the_same_checksum(tmp_path, ids):
    table = IdMap.of(ids, "user")
    table.save(tmp_path / "users.npz")
    again = IdMap.load(tmp_path / "users.npz")
    assert (again.ids.to_list(), again.kind, again.sha256) == (ids, "user", table.sha256)
    assert [path.name for path in tmp_path.iterdir()] == ["users.npz"]


def test_a_map_that_was_changed_after_saving_is_refused(tmp_path):
    path = tmp_path / "users.npz"
    IdMap.of([1, 2, 3]).save(path)
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **(arrays | {"integers": np.array([1, 3, 2])}))
    with pytest.raises(InputError, match=r"users.npz: expected sha256 .*; the ids were changed"):
        IdMap.load(path)
    np.savez(path, x=np.ones(2))
    with pytest.raises(InputError, match="expected a saved id map, found x"):
        IdMap.load(path)


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "users.npz"
    IdMap.of([1]).save(path)
    monkeypatch.setattr(np, "savez_compressed", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        IdMap.of([2]).save(path)
    assert IdMap.load(path).ids.to_list() == [1]
    assert len(list(tmp_path.iterdir())) == 1


def test_the_map_of_another_model_is_refused():
    table = IdMap.of(["a", "b"], "item")
    table.expect(IdMap.of(["a", "b"]).sha256, "the model")
    for other in (["b", "a"], ["ab"], ["a", "b", "c"], ["a", "bc"]):
        with pytest.raises(InputError, match="the item ids are not those of the model in runs/a: expected sha256"):
            table.expect(IdMap.of(other).sha256, "the model in runs/a")
    assert IdMap.of([12, 3]).sha256 != IdMap.of(["12", "3"]).sha256
    assert IdMap.count(3).ids.to_list() == [0, 1, 2]
