"""Decoupled Uniformity: the centroids of the views spread out, smoothed by what is known beforehand."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.kernels import Columns, Rule, pair_lse
from graphcl.losses.anchors import anchor_mean
from graphcl.losses.views import computing_views, full_precision, unit_rows

Kernel = Callable[[Tensor], Tensor]


def rbf_kernel(x: Tensor, bandwidth: float = 1.0) -> Tensor:
    """``exp(-||x_i - x_j||^2 / (2 bandwidth^2))`` of all pairs of rows.

    Time ``O(N N F)``, memory ``O(N N)``.

    Args:
        x: Features; half precision is computed in single.
        bandwidth: Distance at which similarity fades, ``> 0``.

    Shapes:
        x: ``(N, F)``; returns: ``(N, N)``.

    Raises:
        InputError: ``bandwidth <= 0``, or features that are no matrix.
    """
    if x.ndim != 2 or not x.is_floating_point():
        raise InputError(f"features must be a floating (N, F) matrix; got {x.dtype} {tuple(x.shape)}")
    if not math.isfinite(bandwidth) or bandwidth <= 0:
        raise InputError(f"bandwidth must be > 0, since it divides distances; got {bandwidth}")
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    distance = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    return (-0.5 * (distance / bandwidth).square()).exp()


class DecoupledUniformity(nn.Module):
    """Centroids of the two views, pushed apart; views agree because only long centroids can be far apart.

    ``log mean_{i != j} exp(-t ||mu_i - mu_j||^2)`` with ``mu_i`` the mean of the normalised views of row ``i``, itself not
    normalised. With a kernel ``K`` of side knowledge, ``mu`` is first smoothed: ``(K + regulariser I)^-1 K mu``.
    Weights are those of anchors, inside the logarithm: ``log sum_i w_i mean_j exp(...) / sum_i w_i``, where every other row is
    a ``j``, whatever its own weight. Time ``O(N N D)``, memory ``O(N D)`` and one tile; with a kernel ``O(N^3)`` and
    ``O(N N)``.
    Dufumier, Barbano, Louiset, Duchesnay and Gori, 2022, https://arxiv.org/abs/2206.01646. Differs: the smoothing is solved by
    Cholesky, no inverse is formed; no ``N x N`` array exists without a kernel.

    Args:
        t: Sharpness of the repulsion, ``> 0``.
        kernel: Side features to a symmetric, positive semi-definite ``(N, N)`` matrix, such as `rbf_kernel`; ``None`` where the
            matrix itself is given, or nothing.
        regulariser: Added to the kernel's diagonal, ``> 0``; ``1 / sqrt(N)`` is the other published choice.
        limit: Most rows accepted with a kernel.

    Shapes:
        z1, z2: ``(N, D)``, row ``i`` pairs with row ``i``; weight: ``(N,)``; returns: scalar in ``[-4 t, 0]`` without a kernel.

    Raises:
        InputError: Arguments out of range; a kernel that is not ``(N, N)``, symmetric and positive semi-definite, or is
            larger than the limit; shapes that differ, fewer than two rows, values that are not finite; weights that are
            negative or all zero.
    """

    def __init__(self, t: float = 2.0, *, kernel: Kernel | None = None, regulariser: float = 0.01, limit: int = 8192) -> None:
        super().__init__()
        if not math.isfinite(t) or t <= 0:
            raise InputError(f"t must be > 0, since it multiplies squared distances; got {t}")
        if not math.isfinite(regulariser) or regulariser <= 0:
            raise InputError(f"regulariser must be > 0, or a singular kernel cannot be solved; got {regulariser}")
        self.t = t
        self.kernel = kernel
        self.regulariser = regulariser
        self.limit = limit

    def forward(self, z1: Tensor, z2: Tensor, *, side: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        """The loss of two views.

        Args:
            z1: First view.
            z2: Second view.
            side: What is known beforehand, a constant: ``(N, F)`` features for the kernel, or where the loss has none the
                ``(N, N)`` kernel matrix itself.
            weight: Of the anchors, ``>= 0``; all equal when ``None``.
        """
        z1, z2 = computing_views(z1, z2)
        if side is None and self.kernel is not None:
            raise InputError("this loss has a kernel: give it features, loss(z1, z2, side=x)")
        with full_precision(z1):
            centroids = (unit_rows(z1) + unit_rows(z2)) / 2
            if side is not None:
                centroids = self._smooth(centroids, side)
            # ||x - y||^2 = ||x||^2 + ||y||^2 - 2 <x, y>: the pair sweep takes the product, a bias each column's own part.
            own = self.t * centroids.square().sum(1)
            others = Rule(exclude=torch.arange(len(own), device=own.device))
            lse = pair_lse(centroids, Columns(centroids, bias=-own), scale=2 * self.t, rule=others)
            each = lse - own
            if weight is None:
                return each.logsumexp(0) - math.log(len(own)) - math.log(len(own) - 1)
            anchor_mean(each.detach(), weight)  # refuses weights that are none
            weight = weight.to(each.dtype)
            some = weight > 0  # the logarithm of nothing would have an infinite slope
            logs = torch.where(some, weight, 1.0).log().masked_fill(~some, -torch.inf)
            return (each + logs).logsumexp(0) - weight.sum().log() - math.log(len(own) - 1)

    def extra_repr(self) -> str:
        """Sharpness and kernel, for ``print``."""
        name = getattr(self.kernel, "__name__", repr(self.kernel))
        return f"t={self.t:g}, kernel={name}, regulariser={self.regulariser:g}"

    def _smooth(self, centroids: Tensor, side: Tensor) -> Tensor:
        n = len(centroids)
        if n > self.limit:
            raise InputError(
                f"a kernel over {n} rows needs {n} x {n} numbers and a solve of order {n}; the limit is {self.limit}. "
                "Use smaller batches, or raise limit"
            )
        with torch.no_grad():
            matrix = (side if self.kernel is None else self.kernel(side)).to(centroids)
            if matrix.shape != (n, n):
                raise InputError(
                    f"the kernel must be ({n}, {n}), a row and a column for each embedding; got {tuple(matrix.shape)}. "
                    "Side features need a kernel: DecoupledUniformity(kernel=rbf_kernel)"
                )
            if not bool(torch.isfinite(matrix).all()):
                raise InputError("the kernel has a value that is not finite: look at the side features")
            if not torch.allclose(matrix, matrix.T, rtol=1e-4, atol=1e-5 * float(matrix.abs().max())):
                raise InputError("the kernel must be symmetric: similarity of i to j is that of j to i")
            factor, info = torch.linalg.cholesky_ex(matrix + self.regulariser * torch.eye(n).to(matrix))
            if bool(info > 0):
                raise InputError(
                    f"the kernel plus {self.regulariser:g} on its diagonal is not positive definite; "
                    "take a positive semi-definite kernel, or a larger regulariser"
                )
        return torch.cholesky_solve(matrix @ centroids, factor)
