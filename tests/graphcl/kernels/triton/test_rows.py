"""The kernels over entries as they are launched, compiled to machine code for GPUs that need not be there."""

import os

import pytest
import torch

triton = pytest.importorskip("triton", reason="triton is not installed")
if os.environ.get("TRITON_INTERPRET") == "1":
    pytest.skip("what is interpreted cannot be compiled: run pytest without TRITON_INTERPRET", allow_module_level=True)

from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from graphcl.kernels.triton import row_launch  # noqa: E402
from graphcl.kernels.triton.row_launch import dot_rows, reduce_rows  # noqa: E402

POINTERS = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.int32: "*i32", torch.int64: "*i64"}


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


def launches(monkeypatch, step):
    """The kernels and arguments that a step would launch."""
    found = []

    class Spy:
        def __init__(self, kernel):
            self.kernel = kernel

        def __getitem__(self, grid):
            return lambda **given: found.append((self.kernel, given))

    for name in ("reduce_entries", "dot_entries"):
        monkeypatch.setattr(row_launch, name, Spy(getattr(row_launch, name)))
    step()
    return found


def compiled(kernel, given, capability):
    """Specialised as a launch would: ones and what is absent are constants, and pointers are aligned."""
    signature, constants, aligned = {}, {}, {}
    for k, parameter in enumerate(kernel.params):
        value = given[parameter.name]
        if parameter.is_constexpr or value is None or (isinstance(value, int) and value == 1):
            signature[parameter.name], constants[parameter.name] = "constexpr", value
        elif isinstance(value, torch.Tensor):
            signature[parameter.name], aligned[(k,)] = POINTERS[value.dtype], [["tt.divisibility", 16]]
        else:
            signature[parameter.name] = "i32"
    options = {name: given[name] for name in ("num_warps", "num_stages", "enable_fp_fusion")}
    source = ASTSource(kernel, signature, constants, aligned)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


def product(d, dtype, *, index=torch.int32, kind="sum", length=600, gathered=True, weighted=True):
    """Two rows, one of them cut where it is long."""

    def step():
        crow, x = torch.tensor([0, 3, length], dtype=index), torch.zeros(length, d, dtype=dtype)
        col = torch.zeros(length, dtype=index) if gathered else None
        reduce_rows(crow, col, torch.zeros(length) if weighted else None, x, kind=kind)

    return step


def dots(d, dtype, index=torch.int32):
    def step():
        at, rows = torch.zeros(40, dtype=index), torch.zeros(3, d, dtype=dtype)
        dot_rows(at, at, rows, rows)

    return step


FLOATS = (torch.float32, torch.bfloat16, torch.float16)
QUICK = {"fp32": (product(64, torch.float32), 2), "bf16 dots": (dots(64, torch.bfloat16), 1)}
ALL = {
    **{f"{dtype} {d}": (product(d, dtype), 2) for dtype in FLOATS for d in (8, 33, 64, 200)},
    **{f"{kind} {d}": (product(d, torch.float32, kind=kind, weighted=False), 2) for kind in ("max", "lse") for d in (8, 64)},
    "one feature": (product(1, torch.float32, length=5000), 2),
    "short rows": (product(64, torch.float32, length=8), 1),
    "rows as they lie": (product(64, torch.bfloat16, gathered=False, weighted=False), 2),
    "64-bit ids": (product(64, torch.float32, index=torch.int64), 2),
    **{f"dots {dtype} {d}": (dots(d, dtype), 1) for dtype in FLOATS for d in (1, 33, 64, 200)},
    "dots, 64-bit ids": (dots(64, torch.float32, torch.int64), 1),
}  # fmt: skip


def check(monkeypatch, case, capability):
    step, count = case
    found = launches(monkeypatch, step)
    assert len(found) == count
    for kernel, given in found:
        code = compiled(kernel, given, capability)
        assert len(code.asm["cubin"]) > 0
        assert "atom" not in code.asm["ptx"]
        assert "red.global" not in code.asm["ptx"]
        wide = given["D"] * given["x" if "x" in given else "a"].element_size() % 16 == 0
        if wide and given["WIDTH"] >= 64:  # rows are read 16 bytes at a time
            assert ".v4.b32" in code.asm["ptx"]


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("name", QUICK)
def test_kernels_compile_to_machine_code_without_atomic_operations(name, capability, monkeypatch):
    check(monkeypatch, QUICK[name], capability)


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("name", ALL)
def test_every_type_width_and_kind_compiles(name, capability, monkeypatch):
    check(monkeypatch, ALL[name], capability)
