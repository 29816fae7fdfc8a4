"""SwAV: each view predicts the balanced prototype assignment of the other."""

from __future__ import annotations

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.losses.sinkhorn import sinkhorn
from graphcl.losses.temperature import check_temperature
from graphcl.losses.views import computing_views, full_precision, unit_rows


class SwAV(nn.Module):
    """Swapped prediction of assignments to ``K`` learned prototypes.

    ``-(1 / 2N) sum_v sum_i <q_i^(other v), log softmax(S_i^v / temperature)>`` with ``S`` the cosines of rows and prototypes
    and ``q`` the `sinkhorn` plan of ``S``, scaled to rows of mass 1 and constant. Every prototype gets its share of the rows,
    so there is no collapse and no negative. Time ``O(N K D + iterations N K)``, memory ``O(N K)``.
    Caron, Misra, Mairal, Goyal, Bojanowski and Joulin, 2020, https://arxiv.org/abs/2006.09882. Differs: prototypes are
    normalised where they are used, so a step may leave them at any length, and assignments are found in the log domain; no
    queue of old rows. To freeze the prototypes at the start, as the authors do, leave ``prototypes`` out of the first steps.

    Args:
        prototypes: ``K >= 2``; far fewer for a graph than the published 3000 for ImageNet.
        dim: Width ``D`` of the embeddings.
        temperature: Divides the predicting similarity, ``>= 1e-4``.
        epsilon: Entropy of the assignment, ``> 0``; smaller is sharper.
        iterations: Sinkhorn sweeps, ``>= 1``.

    Shapes:
        z1, z2: ``(N, D)``, row ``i`` pairs with row ``i``; prototypes: ``(K, D)``; returns: scalar.

    Raises:
        InputError: Arguments out of range; shapes that differ or are not ``D`` wide, fewer than two rows, values that are not
            finite.
    """

    def __init__(
        self,
        prototypes: int = 3000,
        dim: int = 128,
        *,
        temperature: float = 0.1,
        epsilon: float = 0.05,
        iterations: int = 3,
    ) -> None:
        super().__init__()
        if prototypes < 2 or dim < 1:
            raise InputError(f"there must be at least 2 prototypes of 1 dimension; got {prototypes} of {dim}")
        if not epsilon > 0 or iterations < 1:
            raise InputError(f"epsilon must be > 0 and iterations >= 1; got {epsilon} and {iterations}")
        self.temperature = check_temperature(temperature)
        self.epsilon = epsilon
        self.iterations = iterations
        self.prototypes = nn.Parameter(torch.empty(prototypes, dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Prototypes drawn uniformly from the sphere."""
        nn.init.normal_(self.prototypes)
        self.normalise_()

    @torch.no_grad()
    def normalise_(self) -> None:
        """Prototypes back to length 1, in place: for after the optimiser's step, where weight decay would see their length."""
        self.prototypes.copy_(unit_rows(self.prototypes))

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        """The mean cross-entropy of both predictions."""
        z1, z2 = computing_views(z1, z2)
        if len(z1) < len(self.prototypes) / 10:
            warnings.warn(
                f"{len(z1)} rows for {len(self.prototypes)} prototypes: with fewer than a tenth as many rows, "
                "assignments are mostly noise; use fewer prototypes or more rows",
                stacklevel=2,
            )
        with full_precision(z1):
            s1, s2 = self._scores(z1), self._scores(z2)
            return (self._predict(s1, self._codes(s2)) + self._predict(s2, self._codes(s1))) / 2

    @torch.no_grad()
    def assign(self, z: Tensor) -> Tensor:
        """Balanced soft assignment of rows to prototypes, the target of the other view.

        Shapes:
            z: ``(N, D)``; returns: ``(N, K)``, rows sum to 1.
        """
        z, _ = computing_views(z, z)
        with full_precision(z):
            return self._codes(self._scores(z))

    def extra_repr(self) -> str:
        """Sizes and hyper-parameters, for ``print``."""
        k, d = self.prototypes.shape
        return f"{k}, {d}, temperature={self.temperature:g}, epsilon={self.epsilon:g}, iterations={self.iterations}"

    def _scores(self, z: Tensor) -> Tensor:
        if z.shape[1] != self.prototypes.shape[1]:
            raise InputError(
                f"prototypes have {self.prototypes.shape[1]} dimensions, the embeddings {z.shape[1]}; set dim to match"
            )
        return unit_rows(z) @ unit_rows(self.prototypes.to(z.dtype)).T

    def _codes(self, scores: Tensor) -> Tensor:
        plan, _ = sinkhorn(scores.detach(), self.epsilon, self.iterations)
        return plan * len(plan)

    def _predict(self, scores: Tensor, codes: Tensor) -> Tensor:
        return -(codes * F.log_softmax(scores / self.temperature, dim=1)).sum(1).mean()
