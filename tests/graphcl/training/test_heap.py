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


def test_between_two_trims_some_time_goes_by(monkeypatch):
    now, calls = [100.0], []
    monkeypatch.setattr(heap.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(heap, "trim", lambda: calls.append(now[0]))
    monkeypatch.setattr(heap, "SECONDS", 20.0)
    trimmer = heap.Trimmer()
    for now[0] in (105.0, 119.0, 120.0, 125.0, 139.0, 140.5, 160.0):
        trimmer.after_step()
    assert calls == [120.0, 140.5]
