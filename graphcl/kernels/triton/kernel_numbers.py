"""Kernels of pairs by the names and numbers that the Triton kernels know; importable without Triton."""

from __future__ import annotations

from graphcl.kernels.pair_kernel import GaussianKernel, IMQKernel, LogKernel, PairKernel, RieszKernel, SoftplusKernel


def kernel_numbers(kernel: PairKernel) -> tuple[str, float, float] | None:
    """The name by which the Triton kernels know a kernel, and its numbers; ``None`` for one that is not of this package."""
    match kernel:
        case GaussianKernel(t=t):
            return "gaussian", t, 0.0
        case IMQKernel(c=c):
            return "imq", c, 0.0
        case RieszKernel(s=s, eps=eps):
            return "riesz", s, eps
        case LogKernel(t=t):
            return "log", t, 0.0
        case SoftplusKernel(scale=scale):
            return "softplus", scale, 0.0
    return None
