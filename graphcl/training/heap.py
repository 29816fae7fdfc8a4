"""Memory that was freed and not given back."""

from __future__ import annotations

import ctypes
import sys
import time

SECONDS = 20.0  # between two trims: a trim, and fetching again what is needed again, takes some tenths


def trim() -> bool:
    """Gives free pages of the C library's heap back to the operating system; whether it could.

    Tensors of many sizes, allocated and freed for thousands of steps, leave holes that nothing later fits into: a heap of
    0.7 GB grew to three. glibc alone gives holes back when asked; elsewhere this does nothing.
    """
    if not sys.platform.startswith("linux"):
        return False
    trim_heap = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim_heap is not None and bool(trim_heap(0))


class Trimmer:
    """Trims the heap every `SECONDS`, between two steps."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def after_step(self) -> None:
        """Trims if the last time was long enough ago."""
        if time.monotonic() - self._last >= SECONDS:
            trim()
            self._last = time.monotonic()
