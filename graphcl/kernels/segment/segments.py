"""Which rows make up each segment: ids that were checked, and sorted where a kernel needs them so."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels.backend import Backend, uses_triton
from graphcl.kernels.weak_cache import WeakTensorCache


@dataclass(frozen=True)
class Sorted:
    """Rows in the order of their segments.

    Shapes:
        crow: ``(K + 1,)``, where each segment begins; order: ``(N,)`` rows, ascending inside each segment.
    """

    crow: Tensor
    order: Tensor


_SORTED: WeakTensorCache[Sorted] = WeakTensorCache()


class Segments:
    """The segment of each row, for one reduction and its gradient.

    Args:
        x: What is reduced: its length is checked, its type and device choose the backend.
        ids: Segment of each row, in any order.
        num: Number of segments.
        backend: What the caller asked for.

    Shapes:
        x: ``(N, ...)``; ids: ``(N,)`` int64.

    Raises:
        InputError: ``ids`` has another length or leaves the range; a backend that cannot run.
    """

    def __init__(self, x: Tensor, ids: Tensor, num: int, backend: Backend = "auto") -> None:
        if x.ndim == 0 or ids.shape != (len(x),):
            raise InputError(f"ids must name one segment a row, ({len(x) if x.ndim else 0},); got {tuple(ids.shape)}")
        if ids.dtype not in (torch.int32, torch.int64):
            raise InputError(f"segment ids must be int64; got {ids.dtype}. Convert them: ids.long().")
        self.ids, self.num = ids, num
        self.triton = uses_triton(backend, x)
        if self.triton:
            # On a GPU a check waits for all work under way, and sorting is dear: both once for as long as the ids live.
            self.sorted = _SORTED.get((ids,), num, self._sort)
        else:
            self._check()

    @cached_property
    def counts(self) -> Tensor:
        """``(K,)`` int64, the rows of each segment."""
        if self.triton:
            return self.sorted.crow.diff().long()
        return torch.bincount(self.ids, minlength=self.num)

    def _check(self) -> None:
        if len(self.ids):
            least, most = (int(bound) for bound in self.ids.aminmax())
            if least < 0 or most >= self.num:
                raise InputError(f"segment ids must lie in 0 .. {self.num - 1}; got {least} .. {most}")

    def _sort(self) -> Sorted:
        self._check()
        with torch.inference_mode(False):
            order = torch.argsort(self.ids, stable=True)
            ends = torch.bincount(self.ids, minlength=self.num).cumsum(0)
            crow = torch.cat([ends.new_zeros(1), ends])
            dtype = torch.int32 if max(len(self.ids), self.num) < 2**31 else torch.int64
            return Sorted(crow.to(dtype), order.to(dtype))
