"""The kernels as they are launched, compiled to machine code for GPUs that need not be there."""

import os

import pytest
import torch

from graphcl.kernels import Blocks, Columns, GaussianKernel, IMQKernel, LogKernel, RieszKernel, Rule, SoftplusKernel

triton = pytest.importorskip("triton", reason="triton is not installed")
if os.environ.get("TRITON_INTERPRET") == "1":
    pytest.skip("what is interpreted cannot be compiled: run pytest without TRITON_INTERPRET", allow_module_level=True)

from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from graphcl.kernels.triton import launch  # noqa: E402
from graphcl.kernels.triton.kernel_sum import triton_pair_sum  # noqa: E402
from graphcl.kernels.triton.lse import triton_pair_lse  # noqa: E402

POINTERS = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.int32: "*i32", torch.int64: "*i64"}
SHARED = {80: 163 * 1024, 90: 227 * 1024}  # bytes a program may have
N, M = 300, 500


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

    for name in ("sum_pairs", "differentiate_pairs"):
        monkeypatch.setattr(launch, name, Spy(getattr(launch, name)))
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
            signature[parameter.name] = "i32" if isinstance(value, int) else "fp32"
    options = {name: given[name] for name in ("num_warps", "num_stages", "enable_fp_fusion")}
    return triton.compile(
        ASTSource(kernel, signature, constants, aligned), target=GPUTarget("cuda", capability, 32), options=options
    )


def check(found, capability):
    assert found
    for kernel, given in found:
        code = compiled(kernel, given, capability)
        assert len(code.asm["cubin"]) > 0
        assert code.metadata.shared <= SHARED[capability]
        # Products run on matrix units: of whole warp groups from 9.0 on.
        assert ("wgmma.mma_async" if capability >= 90 else "mma.sync") in code.asm["ptx"]


def lse(d, dtype, *, n=N, rule=None, both=False, blocks=None, itself=False, bias=True):
    def step():
        a, z = (torch.zeros(rows, d, dtype=dtype, requires_grad=True) for rows in (n, M))
        columns = Columns(a) if itself else Columns(z, torch.zeros(M, requires_grad=True) if bias else None, blocks=blocks)
        found = triton_pair_lse(a, columns, scale=torch.ones(1, requires_grad=True), rule=rule or Rule(), both=both)
        sum(part.sum() for part in found if part is not None).backward()

    return step


def kernel_sum(kernel, d, dtype):
    def step():
        a, z = (torch.zeros(rows, d, dtype=dtype, requires_grad=True) for rows in (N, M))
        triton_pair_sum(a, Columns(z), kernel=kernel, rule=Rule()).sum().backward()

    return step


def every_part():
    ids, far = (torch.arange(N) % 7, torch.arange(M) % 7), (torch.zeros(N, 2).long(), torch.ones(M, 2).long())
    seen = (torch.arange(N + 1), torch.arange(N))
    return Rule(exclude=torch.arange(N), same=ids, different=ids, clusters=far, seen=seen)


BLOCKS = Blocks(torch.tensor([0, 100, 250]), torch.cat([torch.arange(100), torch.arange(50, 200)]), torch.tensor([0, 200, 500]))
QUICK = {
    "bf16": lse(64, torch.bfloat16, both=True, bias=False),
    "fp32, wide": lse(200, torch.float32),
    "one row": lse(64, torch.bfloat16, n=1),
}
ALL = {
    **{f"{dtype} {d}": lse(d, dtype, both=True) for dtype in list(POINTERS)[:3] for d in (5, 40, 128, 384, 1024)},
    "itself": lse(128, torch.bfloat16, itself=True, rule=Rule(exclude=torch.arange(N))),
    "every part of a rule": lse(64, torch.bfloat16, rule=every_part(), both=True),
    "every part of a rule, fp32": lse(200, torch.float32, rule=every_part()),
    "blocks": lse(64, torch.bfloat16, rule=Rule(exclude=torch.arange(N), seen=every_part().seen), blocks=BLOCKS),
    "blocks, fp32": lse(200, torch.float32, blocks=BLOCKS),
    **{
        f"{type(kernel).__name__}, {dtype}": kernel_sum(kernel, 64, dtype)
        for kernel in (GaussianKernel(), IMQKernel(), RieszKernel(), LogKernel(), SoftplusKernel())
        for dtype in (torch.float16, torch.float32)
    },
}  # fmt: skip


@pytest.mark.parametrize(("name", "capability"), [("bf16", 80), ("bf16", 90), ("fp32, wide", 80), ("one row", 90)])
def test_kernels_compile_to_machine_code_that_fits(name, capability, monkeypatch):
    check(launches(monkeypatch, QUICK[name]), capability)


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("name", ALL)
def test_every_entry_of_the_table_and_every_part_of_a_rule_compiles(name, capability, monkeypatch):
    check(launches(monkeypatch, ALL[name]), capability)
