"""Memory that was freed and not given back."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS = 20.0  # between two trims: a trim, and fetching again what is needed again, takes some tenths
LARGE = 2**22  # bytes from which an array has pages of its own
USUAL = 2**25  # the same where nobody asks: what glibc comes to by itself once such an array was freed
_TRIM, _MMAP = -1, -3  # what glibc calls M_TRIM_THRESHOLD and M_MMAP_THRESHOLD


def trim() -> bool:
    """Gives free pages of the C library's heap back to the operating system; whether it could.

    Tensors of many sizes, allocated and freed for thousands of steps, leave holes that nothing later fits into: a heap of
    0.7 GB grew to three. glibc alone gives holes back when asked; elsewhere this does nothing.
    """
    trim_heap = _function("malloc_trim")
    return trim_heap is not None and bool(trim_heap(0))


@contextmanager
def large_arrays_apart() -> Iterator[None]:
    """A block in which arrays from `LARGE` bytes on have pages of their own, which go back as soon as they are freed.

    For steps whose arrays have other sizes each time. Holes go back when the heap is trimmed, and are all touched again within
    the next hundred steps; without large arrays in it the heap stays small itself. Steps whose arrays always have the same
    sizes have no holes, and would pay for fetching pages anew. Whoever sets these thresholds in the environment keeps them.
    """
    set_option = None if _has_settings() else _function("mallopt")
    if set_option is None:
        yield
        return
    set_option(_MMAP, LARGE)
    set_option(_TRIM, 2 * USUAL)  # it would fall to 128 kB now, and the end of the heap come and go in each step
    try:
        yield
    finally:
        set_option(_MMAP, USUAL)


class Trimmer:
    """Trims the heap every `SECONDS`, between two steps."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def after_step(self) -> None:
        """Trims if the last time was long enough ago."""
        if time.monotonic() - self._last >= SECONDS:
            trim()
            self._last = time.monotonic()


def _function(name: str) -> Callable[..., int] | None:
    """A function of glibc; ``None`` elsewhere."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None


def _has_settings() -> bool:
    """Whether the environment says from which size on memory is mapped or trimmed."""
    names = [os.environ.get("GLIBC_TUNABLES", ""), *(name.lower() for name in os.environ if name.startswith("MALLOC_"))]
    return any(option in name for name in names for option in ("mmap_threshold", "mmap_max", "trim_threshold"))
