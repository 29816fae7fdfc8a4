import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels.segment import segments as module
from graphcl.kernels.segment.segments import Segments


def test_rows_are_counted():
    assert Segments(torch.ones(4), torch.tensor([2, 0, 2, 2]), 4).counts.tolist() == [1, 0, 3, 0]


def test_rows_are_sorted_once_for_as_long_as_the_ids_live_unchanged(monkeypatch):
    monkeypatch.setattr(module, "uses_triton", lambda backend, x: True)
    ids = torch.tensor([2, 0, 2, 1, 0])
    first, again = (Segments(torch.ones(5), ids, 4).sorted for _ in range(2))
    assert first is again
    assert first.crow.tolist() == [0, 2, 3, 5, 5]
    assert first.order.tolist() == [1, 4, 3, 0, 2]  # ascending inside each segment
    assert Segments(torch.ones(5), ids, 4).counts.tolist() == [2, 1, 2, 0]
    ids[0] = 3
    assert Segments(torch.ones(5), ids, 4).sorted.crow.tolist() == [0, 2, 3, 4, 5]
    with pytest.raises(InputError, match=r"must lie in 0 .. 2; got 0 .. 3"):
        Segments(torch.ones(5), ids, 3)


def test_ids_must_be_integers():
    with pytest.raises(InputError, match=r"must be int64; got torch.float32. Convert them: ids.long"):
        Segments(torch.ones(2), torch.ones(2), 2)
