from __future__ import annotations

import ctypes
import os
import platform
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

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


SHARE = """
import resource
from pathlib import Path
import torch
from graphcl.training import heap

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

def share(size):
    # Of arrays between others, what goes back as soon as they are freed.
    arrays = [torch.ones(size // 4) for _ in range(80)]
    before = resident()
    arrays[1:-1:2] = [None] * len(arrays[1:-1:2])
    return (before - resident()) / (39 * size)

torch.ones(2**22).sum()  # as in any process that has computed something: from here on such arrays come from the heap
with heap.large_arrays_apart():
    print(share(heap.LARGE + 2**16))
"""


@pytest.fixture
def unset(monkeypatch):
    """An environment that says nothing of malloc."""
    for name in [name for name in os.environ if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES"]:
        monkeypatch.delenv(name)


@on_glibc
def test_large_arrays_that_are_kept_apart_go_back_when_they_are_freed(unset):
    # In a process of its own: a heap with holes in it would fill them first.
    told = subprocess.run([sys.executable, "-c", SHARE], check=True, capture_output=True, text=True)
    assert float(told.stdout) > 0.9


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MALLOC_MMAP_THRESHOLD_", "1048576"), ("GLIBC_TUNABLES", "glibc.malloc.mmap_max=0"), ("MALLOC_ARENA_MAX", "2"),
        ("GLIBC_TUNABLES", "glibc.malloc.arena_max=2"),
    ],
)  # fmt: skip
def test_what_is_asked_of_malloc_ends_with_the_block_and_settings_of_the_environment_stay(monkeypatch, unset, name, value):
    asked = []
    library = SimpleNamespace(mallopt=lambda *option: asked.append(option))
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    monkeypatch.setenv(name, value)

    def interrupted():
        with heap.large_arrays_apart():
            asked.append("block")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    left_alone = "MMAP" in name or "mmap" in value  # and not for the number of arenas, which is another matter
    assert asked == (["block"] if left_alone else [(-3, 2**22), (-1, 2**26), "block", (-3, 2**25)])


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())  # a C library that has no malloc_trim
    assert not heap.trim()
    with heap.large_arrays_apart():
        pass
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", None)  # not to be asked
    assert not heap.trim()
    with heap.large_arrays_apart():
        pass


def test_between_two_trims_some_time_goes_by(monkeypatch):
    now, calls = [100.0], []
    monkeypatch.setattr(heap.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(heap, "trim", lambda: calls.append(now[0]))
    monkeypatch.setattr(heap, "SECONDS", 20.0)
    trimmer = heap.Trimmer()
    for now[0] in (105.0, 119.0, 120.0, 125.0, 139.0, 140.5, 160.0):
        trimmer.after_step()
    assert calls == [120.0, 140.5]
