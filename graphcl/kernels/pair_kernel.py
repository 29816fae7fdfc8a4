"""Kernels that `pair_sum` adds up: each a value and a derivative, written over a tile of squared distances or dot products."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor

from graphcl.errors import InputError


class PairKernel(Protocol):
    """A function of one number a pair: its squared distance where ``of_distance``, else its dot product.

    Both methods may write over what they are given and return it.

    Shapes:
        tile, returns: ``(rows, columns)``.
    """

    of_distance: ClassVar[bool]

    def value(self, tile: Tensor) -> Tensor:
        """The kernel of each entry."""
        ...

    def derivative(self, tile: Tensor) -> Tensor:
        """Its slope there."""
        ...


@dataclass(frozen=True)
class GaussianKernel:
    """``exp(-t r^2)``.

    Args:
        t: Inverse squared width, ``> 0``.
    """

    t: float = 2.0
    of_distance: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_positive("t", self.t)

    def value(self, tile: Tensor) -> Tensor:
        """The kernel of each squared distance."""
        return tile.mul_(-self.t).exp_()

    def derivative(self, tile: Tensor) -> Tensor:
        """Its slope in the squared distance."""
        return self.value(tile).mul_(-self.t)


@dataclass(frozen=True)
class IMQKernel:
    """The inverse multiquadric, ``c / sqrt(c^2 + r^2)``.

    Args:
        c: Width, ``> 0``.
    """

    c: float = 1.0
    of_distance: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_positive("c", self.c)

    def value(self, tile: Tensor) -> Tensor:
        """The kernel of each squared distance."""
        return tile.mul_(self.c**-2).add_(1).rsqrt_()

    def derivative(self, tile: Tensor) -> Tensor:
        """Its slope in the squared distance."""
        return tile.add_(self.c**2).pow_(-1.5).mul_(-0.5 * self.c)


@dataclass(frozen=True)
class RieszKernel:
    """``r^-s`` for ``s > 0``, ``-r^-s`` for ``s < 0``, with ``r^2 + eps`` for ``r^2``: it, or its slope, is singular at 0.

    Args:
        s: Exponent, not 0.
        eps: Added to the squared distance, ``> 0``.
    """

    s: float = 1.0
    eps: float = 1e-6
    of_distance: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_positive("eps", self.eps)
        if self.s == 0 or not math.isfinite(self.s):
            raise InputError(f"s must be a finite number other than 0; got {self.s}. For the limit s = 0 use LogKernel.")

    def value(self, tile: Tensor) -> Tensor:
        """The kernel of each squared distance."""
        return tile.add_(self.eps).pow_(-self.s / 2).mul_(math.copysign(1.0, self.s))

    def derivative(self, tile: Tensor) -> Tensor:
        """Its slope in the squared distance."""
        return tile.add_(self.eps).pow_(-self.s / 2 - 1).mul_(-abs(self.s) / 2)


@dataclass(frozen=True)
class LogKernel:
    """``-log(1 + t r^2) / 2``.

    Args:
        t: Inverse squared width, ``> 0``.
    """

    t: float = 2.0
    of_distance: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_positive("t", self.t)

    def value(self, tile: Tensor) -> Tensor:
        """The kernel of each squared distance."""
        return tile.mul_(self.t).log1p_().mul_(-0.5)

    def derivative(self, tile: Tensor) -> Tensor:
        """Its slope in the squared distance."""
        return tile.mul_(self.t).add_(1).reciprocal_().mul_(-0.5 * self.t)


@dataclass(frozen=True)
class SoftplusKernel:
    """``log(1 + exp(scale * <a, z>))``, of the dot product; the logistic loss of negatives.

    Args:
        scale: Multiplies the dot product; any finite number, negative for the logistic loss of positives.
    """

    scale: float = 1.0
    of_distance: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale):
            raise InputError(f"scale must be a finite number, one over the temperature; got {self.scale}.")

    def value(self, tile: Tensor) -> Tensor:
        """The kernel of each dot product."""
        return tile.mul_(self.scale).logaddexp(tile.new_zeros(()))

    def derivative(self, tile: Tensor) -> Tensor:
        """Its slope in the dot product."""
        return tile.mul_(self.scale).sigmoid_().mul_(self.scale)


def _check_positive(name: str, value: float) -> None:
    if not math.isfinite(value) or value <= 0:
        raise InputError(f"{name} must be a finite number > 0; got {value}. It sets the width of the kernel.")
