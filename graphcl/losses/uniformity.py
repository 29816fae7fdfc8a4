"""Uniformity: how evenly rows spread over the sphere."""

from __future__ import annotations

from torch import Tensor, nn

from graphcl.losses.decoupled_uniformity import DecoupledUniformity


class Uniformity(nn.Module):
    """Logarithm of the mean Gaussian potential of all pairs of normalised rows.

    ``log mean_{i != j} exp(-t ||z_i - z_j||^2)``: `DecoupledUniformity` of a view with itself. Time ``O(N N D)``, memory
    ``O(N D)``.
    Wang and Isola, 2020, https://arxiv.org/abs/2005.10242. Differs: rows are normalised here.

    Args:
        t: Sharpness of the repulsion, ``> 0``.

    Shapes:
        z: ``(N, D)``; weight: ``(N,)``; returns: scalar in ``[-4 t, 0]``.

    Raises:
        InputError: ``t <= 0``; fewer than two rows, values that are not finite; weights that are negative or all zero.
    """

    def __init__(self, t: float = 2.0) -> None:
        super().__init__()
        self.potential = DecoupledUniformity(t)

    def forward(self, z: Tensor, *, weight: Tensor | None = None) -> Tensor:
        """The loss of one view.

        Args:
            z: The view.
            weight: Of the anchors, inside the logarithm, ``>= 0``; all equal when ``None``.
        """
        loss: Tensor = self.potential(z, z, weight=weight)
        return loss
