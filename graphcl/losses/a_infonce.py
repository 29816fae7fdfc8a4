"""A-InfoNCE: two views agree as usual, and one of them moves more than the other."""

from __future__ import annotations

from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.losses.links import coupled
from graphcl.losses.pair_loss import Intra, PairLoss, Symmetric
from graphcl.losses.temperature import Temperature
from graphcl.losses.views import computing_views, full_precision
from graphcl.negatives import Negatives


class AInfoNCE(nn.Module):
    """`InfoNCE`, or with ``intra`` `NTXent`, whose gradient is shared out between a good view and an inferior one.

    The value is theirs. The gradient is ``alpha`` of theirs in the second view and ``1 - alpha`` in the first: a similarity is
    ``alpha s(sg a_i, b_j) + (1 - alpha) s(a_i, sg b_j)`` with ``sg`` a constant of the step. With ``alpha > 0.5`` an inferior
    second view, adversarial or strongly augmented, does most of the moving; at 0.5 it is half the usual gradient. Any estimator
    of negatives goes with it, such as `HCL`. Time ``O(N N D)``, memory ``O(N D)`` with exact negatives.
    Yu, Lou, Zhan, Li, Zuo, Liu and Liu, 2022, https://arxiv.org/abs/2207.08374. Differs: ``alpha`` is one number, not one read
    off the distance of the views; gradients within a view are shared out like those across.

    Args:
        temperature: Divides the similarity, ``> 0``, or a `LearnableTemperature`.
        alpha: Share of the second view, in ``0 .. 1``.
        negatives: Estimator of the negative term; exact when ``None``.
        intra: Whether the other rows of the anchor's own view are negatives as well.
        symmetric: Mean or sum of both directions, or one.

    Shapes:
        z1, z2: ``(N, D)``, row ``i`` pairs with row ``i``; ids: ``(N,)`` integers; weight: ``(N,)``; returns: scalar.

    Raises:
        InputError: ``temperature <= 0``, a share out of range; shapes that differ, fewer than two rows, values that are not
            finite.
    """

    def __init__(
        self,
        temperature: Temperature = 0.5,
        *,
        alpha: float = 0.5,
        negatives: Negatives | None = None,
        intra: Intra = False,
        symmetric: Symmetric = "mean",
    ) -> None:
        super().__init__()
        if not 0 <= alpha <= 1:
            raise InputError(f"alpha must lie in 0 .. 1, the second view's share of the gradient; got {alpha}")
        self.loss = PairLoss(coupled, negatives=negatives, temperature=temperature, symmetric=symmetric, intra=intra)
        self.alpha = alpha

    def forward(self, z1: Tensor, z2: Tensor, *, ids: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        """The loss of two views.

        Args:
            z1: The good view.
            z2: The inferior view.
            ids: Of the instances: rows with equal ids are not negatives of each other; all differ when ``None``.
            weight: Of the instances in a weighted mean, ``>= 0``; all equal when ``None``.
        """
        z1, z2 = computing_views(z1, z2)
        with full_precision(z1):
            loss: Tensor = self.loss(_share(z1, 1 - self.alpha), _share(z2, self.alpha), ids=ids, weight=weight)
            return loss

    def extra_repr(self) -> str:
        """The share, for ``print``."""
        return f"alpha={self.alpha:g}"


def _share(z: Tensor, share: float) -> Tensor:
    """The tensor itself, whose gradient is multiplied."""
    constant = z.detach()
    return constant + share * (z - constant)
