from __future__ import annotations

import ctypes
import platform
import resource
from pathlib import Path

import pytest
import torch

from graphcl.training import heap

on_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")


def resident():
    """Bytes of this process that are in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@on_glibc
def test_holes_in_the_heap_go_back_to_the_operating_system():
    tensors = [torch.ones(2**14) for _ in range(2000)]  # 64 kB each: small enough to come from the heap
    full = resident()
    kept = tensors[::100]
    tensors.clear()
    assert heap.trim()
    assert full - resident() > 64 * 2**20
    assert all(bool((tensor == 1).all()) for tensor in kept)


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())  # a C library that has no malloc_trim
    assert not heap.trim()
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", None)  # not to be asked
    assert not heap.trim()
