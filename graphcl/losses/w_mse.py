"""W-MSE: whitened views agree."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.losses.standardise import constant_dimensions, standardise
from graphcl.losses.views import computing_views, full_precision, unit_rows


class WMSE(nn.Module):
    """Squared distance of unit rows after each sub-batch of each view was whitened.

    ``mean_i (2 - 2 cos(L1^-1 (z1_i - m1), L2^-1 (z2_i - m2)))`` with ``(1 - eps) Cov + eps I = L L^T`` of the sub-batch,
    averaged over random partitions of the rows, the same partition in both views. Whitened rows cannot collapse, so there are
    no negatives. Time ``O(iterations (N D^2 + D^3 N / size))``, memory ``O(iterations (N D + D^2 N / size))``.
    Ermolov, Siarohin, Sangineto and Sebe, 2020, https://arxiv.org/abs/2007.06346. Differs: ``N`` need not be a multiple of the
    sub-batch, sizes then differ by one; a covariance that cannot be inverted is an error, not a row of infinities.

    Args:
        size: Least rows of a sub-batch, all of them where ``N`` is smaller; ``2 D`` when ``None``, the published rule.
        iterations: Partitions averaged, ``>= 1``.
        eps: Shrinks the covariance towards the identity, in ``[0, 1)``; above 0 no covariance is singular.
        generator: Of the partitions; the global one when ``None``.

    Shapes:
        z1, z2: ``(N, D)`` with ``N > D`` unless ``eps > 0``, row ``i`` pairs with row ``i``; returns: scalar in ``[0, 4]``.

    Raises:
        InputError: Arguments out of range, a singular covariance; shapes that differ, fewer than two rows, values that are not
            finite.
    """

    def __init__(
        self, size: int | None = None, *, iterations: int = 1, eps: float = 0.0, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if size is not None and size < 2:
            raise InputError(f"size must be >= 2, the rows that are whitened together; got {size}")
        if iterations < 1:
            raise InputError(f"iterations must be >= 1, the partitions averaged; got {iterations}")
        if not 0 <= eps < 1:
            raise InputError(f"eps must lie in [0, 1): it mixes the covariance with the identity; got {eps}")
        self.size = size
        self.iterations = iterations
        self.eps = eps
        self.generator = generator

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        """The mean over partitions."""
        z1, z2 = computing_views(z1, z2)
        n, d = z1.shape
        count = max(1, n // (self.size if self.size is not None else 2 * d))
        rows = n // count
        if rows <= d and self.eps == 0:
            raise InputError(
                f"a sub-batch of {rows} rows has a covariance of rank at most {rows - 1}, too little to whiten {d} dimensions; "
                f"give at least {d + 1} rows (better {2 * d}) to each, or eps > 0"
            )
        with full_precision(z1):
            if count == 1:  # the order of rows does not matter
                return self._distance(z1, z2)
            total = z1.new_zeros(())
            for _ in range(self.iterations):
                for part in self._shuffled(n, z1.device).tensor_split(count):
                    total = total + self._distance(z1[part], z2[part]) * len(part)
            return total / (self.iterations * n)

    def extra_repr(self) -> str:
        """Sizes, for ``print``."""
        return f"size={self.size}, iterations={self.iterations}, eps={self.eps:g}"

    def _shuffled(self, n: int, device: torch.device) -> Tensor:
        where = device if self.generator is None else self.generator.device
        return torch.randperm(n, generator=self.generator, device=where).to(device)

    def _distance(self, z1: Tensor, z2: Tensor) -> Tensor:
        return 2 - 2 * (unit_rows(self._whiten(z1, "z1")) * unit_rows(self._whiten(z2, "z2"))).sum(1).mean()

    def _whiten(self, z: Tensor, name: str) -> Tensor:
        centred = z - z.mean(0)
        covariance = centred.T @ centred / (len(z) - 1)
        identity = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
        factor, info = torch.linalg.cholesky_ex((1 - self.eps) * covariance + self.eps * identity)
        # A pivot is the variance that earlier dimensions leave unexplained; below rounding it is noise, and so is its inverse.
        pivots, scale = factor.diagonal().square(), covariance.diagonal()
        lost = pivots <= z.shape[1] * torch.finfo(z.dtype).eps * scale
        if self.eps == 0 and bool((info > 0) | lost.any() | constant_dimensions(z).any()):
            _raise_singular(z, name)
        whitened: Tensor = torch.linalg.solve_triangular(factor, centred.T, upper=False)
        return whitened.T


def _raise_singular(z: Tensor, name: str) -> None:
    unit = standardise(z.detach())
    rank = min(int(torch.linalg.matrix_rank(unit)), z.shape[1] - 1)
    raise InputError(
        f"the covariance of {len(z)} rows of {name} cannot be inverted: rank {rank} of {z.shape[1]} dimensions. "
        "Dimensions are constant or repeat each other; use fewer dimensions or eps > 0"
    )
