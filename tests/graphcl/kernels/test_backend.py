import importlib.util
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels import Blocks, Columns, GaussianKernel, pair_lse, pair_sum
from graphcl.kernels import backend as module
from graphcl.kernels.backend import uses_triton

ROOT = Path(__file__).parents[3]


class OnGPU:
    """What is asked of a tensor on a GPU."""

    is_cuda, device = True, torch.device("cuda")

    def __init__(self, dtype=torch.float32):
        self.dtype = dtype


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    monkeypatch.setattr(module, "find_spec", lambda name: object())
    module._tell.cache_clear()
    return OnGPU()


def test_on_a_gpu_triton_is_taken_wherever_it_can_run(gpu):
    assert uses_triton("auto", gpu)
    assert uses_triton("triton", gpu)
    assert not uses_triton("torch", gpu)
    assert not uses_triton("auto", OnGPU(torch.float64))
    assert not uses_triton("auto", gpu, "it does not know the kernel")


def test_an_older_gpu_runs_on_torch_and_says_why_when_asked_for_triton(gpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert not uses_triton("auto", gpu)
    with pytest.raises(InputError, match=r"capability 8.0 or higher"):
        uses_triton("triton", gpu)


def test_a_gpu_without_triton_is_told_once(gpu, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.warns(RuntimeWarning, match="triton is not installed"):
        assert not uses_triton("auto", gpu)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not uses_triton("auto", gpu)


def test_on_a_cpu_torch_is_taken_and_says_what_triton_needs(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    a = torch.randn(3, 2)
    assert not uses_triton("auto", a)
    columns = Columns(a)
    blocks = Columns(a, blocks=Blocks(torch.tensor([0, 3]), torch.arange(3), torch.tensor([0, 3])))
    for sweep in (
        lambda: pair_lse(a, columns, scale=1.0, backend="triton"),
        lambda: pair_lse(a, blocks, scale=1.0, backend="triton"),
        lambda: pair_sum(a, columns, kernel=GaussianKernel(), backend="triton"),
    ):
        with pytest.raises(InputError, match="needs an NVIDIA GPU, and the anchors are on cpu"):
            sweep()
    with pytest.raises(InputError, match=r"single precision, and the anchors are torch.float64"):
        pair_lse(a.double(), Columns(a.double()), scale=1.0, backend="triton")


def test_a_kernel_of_a_user_runs_on_torch_alone():
    class Identity:
        of_distance = False

        def value(self, tile):
            return tile

        def derivative(self, tile):
            return torch.ones_like(tile)

    a = torch.randn(3, 2)
    torch.testing.assert_close(pair_sum(a, Columns(a), kernel=Identity()), (a @ a.T).sum(1))
    with pytest.raises(InputError, match="does not know the kernel Identity"):
        pair_sum(a, Columns(a), kernel=Identity(), backend="triton")


def test_an_unknown_backend_is_refused_with_the_near_ones():
    a = torch.randn(3, 2)
    with pytest.raises(InputError, match="unknown backend 'trition'; did you mean triton"):
        pair_lse(a, Columns(a), scale=1.0, backend="trition")


@pytest.mark.parametrize("module", ["graphcl.kernels", "graphcl.kernels.triton"])
def test_triton_is_not_asked_for_until_it_is_used(module):
    code = f"import sys; sys.modules['triton'] = None; import {module}"  # any import of it would fail
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="the kernels' own tests run beside this one")
def test_the_kernels_pass_their_tests_in_the_interpreter():
    # In a process of its own, since Triton looks at the variable when it is imported, and others import it before us.
    done = subprocess.run(
        [Path(sys.executable).with_name("pytest"), "-q", "-p", "no:cacheprovider", "tests/graphcl/kernels/triton"],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout
