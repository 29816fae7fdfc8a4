"""Results remembered for as long as the tensors they were computed from live, unchanged."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from torch import Tensor

T = TypeVar("T")
_Key = tuple[tuple[int, ...], Hashable]


class WeakTensorCache(Generic[T]):
    """A table from the identity of tensors to what was built from them.

    Identity, not equality, so a look-up costs nothing; the version that torch counts in-place writes with is compared,
    so a tensor that was written to is built from again; an entry goes when one of its tensors is collected.
    A result must not hold the tensors it was built from, or they would never be. Data written behind torch's back
    (through ``tensor.data`` or a NumPy view) goes unnoticed.
    """

    def __init__(self) -> None:
        self._entries: dict[_Key, tuple[tuple[weakref.ref[Tensor], ...], tuple[int, ...], T]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, tensors: tuple[Tensor, ...], options: Hashable, build: Callable[[], T]) -> T:
        """What was built from these tensors with these options, built now if it is not there.

        Args:
            tensors: What the result depends on.
            options: Everything else it depends on.
            build: Makes the result.
        """
        if any(tensor.is_inference() for tensor in tensors):
            return build()  # inference tensors count no writes, so nothing could tell a stale result
        key = (tuple(id(tensor) for tensor in tensors), options)
        versions = tuple(tensor._version for tensor in tensors)
        found = self._entries.get(key)
        if found is not None:
            references, known_versions, result = found
            same = all(ref() is tensor for ref, tensor in zip(references, tensors, strict=True))
            if same and known_versions == versions:
                return result
        result = build()
        self._entries[key] = (tuple(self._watch(tensor, key) for tensor in tensors), versions, result)
        return result

    def _watch(self, tensor: Tensor, key: _Key) -> weakref.ref[Tensor]:
        # The callback holds the cache weakly: a cache that is dropped takes its results along.
        cache = weakref.ref(self)

        def forget(dead: weakref.ref[Tensor]) -> None:
            owner = cache()
            entry = None if owner is None else owner._entries.get(key)
            # The id may have been given to a new tensor whose entry stands under the same key by now.
            if owner is not None and entry is not None and any(ref is dead for ref in entry[0]):
                del owner._entries[key]

        return weakref.ref(tensor, forget)
