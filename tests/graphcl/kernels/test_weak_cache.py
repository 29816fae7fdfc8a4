import gc
import sys
import weakref

import torch

from graphcl.kernels.weak_cache import WeakTensorCache


def counting():
    calls = []

    def build():
        calls.append(None)
        return len(calls)

    return calls, build


def test_a_result_is_built_once_per_tensor_and_options():
    cache = WeakTensorCache()
    calls, build = counting()
    first, second = torch.zeros(3), torch.zeros(3)
    assert [cache.get((first,), "a", build) for _ in range(3)] == [1, 1, 1]
    assert cache.get((first,), "b", build) == 2
    assert cache.get((second,), "a", build) == 3  # equal, but not the same tensor
    assert cache.get((first, second), "a", build) == 4
    assert len(cache) == 4
    assert len(calls) == 4


def test_writing_in_place_invalidates():
    cache = WeakTensorCache()
    _, build = counting()
    tensor = torch.zeros(3)
    cache.get((tensor,), None, build)
    tensor[0] = 1.0
    assert cache.get((tensor,), None, build) == 2
    assert len(cache) == 1


def test_an_entry_goes_with_any_of_its_tensors():
    cache = WeakTensorCache()
    _, build = counting()
    kept, dropped = torch.zeros(3), torch.zeros(3)
    cache.get((kept, dropped), None, build)
    cache.get((kept,), None, build)
    assert len(cache) == 2
    del dropped
    gc.collect()
    assert len(cache) == 1


def test_a_replaced_entry_is_not_forgotten_with_its_predecessors_references():
    cache = WeakTensorCache()
    _, build = counting()
    tensor = torch.zeros(3)
    for _ in range(5):
        cache.get((tensor,), None, build)
        tensor.add_(1)
        gc.collect()
    assert cache.get((tensor,), None, build) == 6
    assert len(cache) == 1


def test_a_dropped_cache_leaves_nothing_behind():
    cache = WeakTensorCache()
    tensor = torch.zeros(3)
    cache.get((tensor,), None, lambda: 1)
    gone = weakref.ref(cache)
    del cache
    gc.collect()
    assert gone() is None
    complaints = []
    previous, sys.unraisablehook = sys.unraisablehook, complaints.append
    try:
        del tensor  # the callback finds no cache and must not mind
    finally:
        sys.unraisablehook = previous
    assert complaints == []


def test_inference_tensors_are_built_from_every_time():
    cache = WeakTensorCache()
    _, build = counting()
    with torch.inference_mode():
        tensor = torch.zeros(3)
    assert [cache.get((tensor,), None, build) for _ in range(2)] == [1, 2]
    assert len(cache) == 0
