"""ProtoNCE: rows are found among the centres of clusterings, each cluster with a temperature of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.kernels import Columns, pair_lse, segment_sum
from graphcl.losses.anchors import anchor_mean
from graphcl.losses.temperature import check_temperature
from graphcl.losses.views import computing_views, full_precision, unit_rows

CLIP = 0.1, 0.9  # quantiles of the concentrations that none leaves
LEAST = 0.01  # of the mean; below it a cluster is a point, and its logits would have no bound


class ProtoNCE(nn.Module):
    """Cross-entropy of finding the centre of one's cluster among all centres, averaged over clusterings of several sizes.

    ``-<u_i, c_m(i)> / (t phi_m(i)) + log sum_k exp(<u_i, c_k> / (t phi_k))`` on unit rows, with ``phi`` the `concentration` of
    each cluster: loose clusters have a high temperature, so they do not swallow the rows of tight ones. Centres and
    concentrations are constants; made by k-means every few epochs, they stay as they are while the rows move. Usually added to
    a loss of two views. Time ``O(N K D)``, memory ``O((N + K) D)``: a temperature of a column is a shorter column.
    Li, Zhou, Xiong and Hoi, 2021 (PCL), https://arxiv.org/abs/2005.04966; on graphs Yu, Ge, Li and Zhou, 2022 (MEOW),
    https://arxiv.org/abs/2212.13847. Differs: all other centres are negatives, where PCL's code samples them; the denominator
    is a sum, where MEOW's is ``N`` times a mean, a constant more.

    Args:
        temperature: Divides the similarity, ``>= 1e-4``; the mean temperature of the clusters.
        alpha: Smooths small clusters where concentrations are computed here, ``>= 0``.

    Shapes:
        z: ``(N, D)``; centres: ``(K, D)`` each; assignment: ``(N,)`` or, for ``T`` clusterings, ``(N, T)``, in ``0 .. K - 1``;
            concentrations: ``(K,)`` each; weight: ``(N,)``; returns: scalar, ``>= 0``.

    Raises:
        InputError: Arguments out of range; a single cluster, centres of another width, an assignment that does not fit,
            concentrations that are not positive; fewer than two rows, values that are not finite.
    """

    def __init__(self, temperature: float = 0.1, *, alpha: float = 10.0) -> None:
        super().__init__()
        self.scale = 1.0 / check_temperature(temperature)
        self.alpha = _check_alpha(alpha)

    def forward(
        self,
        z: Tensor,
        centres: Tensor | Sequence[Tensor],
        assignment: Tensor,
        *,
        concentrations: Tensor | Sequence[Tensor] | None = None,
        weight: Tensor | None = None,
    ) -> Tensor:
        """The loss of rows under one clustering, or under several.

        Args:
            z: Rows, the only input with a gradient.
            centres: Of each clustering.
            assignment: Cluster of each row, a column for each clustering.
            concentrations: Of the clusters, as `concentration` gives them for all rows that were clustered; those of the rows
                at hand when ``None``, which is meant for rows that come all at once.
            weight: Of the rows in a weighted mean, ``>= 0``; all equal when ``None``.
        """
        z, _ = computing_views(z, z)
        sets = [centres] if isinstance(centres, Tensor) else list(centres)
        own = assignment[:, None] if assignment.ndim == 1 else assignment
        if not sets or own.shape != (len(z), len(sets)):
            raise InputError(
                f"assignment must be ({len(z)}, {len(sets)}), a cluster of each row in each clustering; got "
                f"{tuple(assignment.shape)}. Is it that of all rows, where this is a batch? Use assignment[rows]."
            )
        spread: list[Tensor | None] = [None] * len(sets)
        if concentrations is not None:
            spread = [concentrations] if isinstance(concentrations, Tensor) else list(concentrations)
        if len(spread) != len(sets):
            raise InputError(f"there must be concentrations for each of {len(sets)} clusterings; got {len(spread)}")
        with full_precision(z):
            u = unit_rows(z)
            terms = [self._one(u, *part) for part in zip(sets, own.unbind(1), spread, strict=True)]
            return anchor_mean(torch.stack(terms).mean(0), weight)

    def extra_repr(self) -> str:
        """Temperature and smoothing, for ``print``."""
        return f"temperature={1 / self.scale:g}, alpha={self.alpha:g}"

    def _one(self, u: Tensor, centres: Tensor, assignment: Tensor, spread: Tensor | None) -> Tensor:
        c = _centres(u, centres)
        check_assignment(assignment, len(u), len(c))
        phi = concentration(u, c, assignment, alpha=self.alpha) if spread is None else spread.detach().to(c)
        if phi.shape != (len(c),) or not bool(((phi > 0) & phi.isfinite()).all()):
            raise InputError(
                f"concentrations must be ({len(c)},) positive numbers, one for each centre; got {tuple(phi.shape)}, "
                f"values {phi.flatten()[:4].tolist()} ..."
            )
        scaled = c / phi[:, None]
        log_z = pair_lse(u, Columns(scaled), scale=self.scale)
        return log_z - self.scale * (u * scaled.index_select(0, assignment.long())).sum(1)


@torch.no_grad()
def concentration(z: Tensor, centres: Tensor, assignment: Tensor, *, alpha: float = 10.0) -> Tensor:
    """How loose each cluster is, relative to the mean of all: what multiplies the temperature of its centre.

    ``phi_k = sum_{i in k} ||u_i - c_k|| / (n_k log(n_k + alpha))`` of unit rows and unit centres, clipped to the 10th and 90th
    percentile and divided by the mean. A cluster of one row, or of none, takes the largest value, since it tells nothing.
    Time ``O(N D)``.
    Li, Zhou, Xiong and Hoi, 2021, https://arxiv.org/abs/2005.04966. Differs: centres are normalised before distances are taken;
    nothing is below a hundredth of the mean, where clusters that are points would have the temperature 0.

    Args:
        z: Rows that were clustered.
        centres: Of the clusters.
        assignment: Cluster of each row.
        alpha: Smooths small clusters, ``>= 0``.

    Shapes:
        z: ``(N, D)``; centres: ``(K, D)``; assignment: ``(N,)`` in ``0 .. K - 1``; returns: ``(K,)``, mean about 1.

    Raises:
        InputError: ``alpha < 0``; a single cluster, centres of another width, an assignment that does not fit.
    """
    _check_alpha(alpha)
    z, _ = computing_views(z, z)
    c = _centres(z, centres)
    check_assignment(assignment, len(z), len(c))
    assignment = assignment.long()
    with full_precision(z):
        away = (unit_rows(z) - c.index_select(0, assignment)).square().sum(1).sqrt()
        size = torch.bincount(assignment, minlength=len(c)).to(away)
        several = size > 1
        loose = segment_sum(away[:, None], assignment, len(c))[:, 0] / (size * (size + alpha).log()).masked_fill(~several, 1.0)
        loose = torch.where(several, loose, loose.masked_fill(~several, 0.0).max())
        low, high = torch.quantile(loose, loose.new_tensor(CLIP)).unbind()
        loose = loose.clamp(low, high)
        mean = loose.mean()
        return torch.where(mean > 0, loose / mean, 1.0).clamp(min=LEAST)


def check_assignment(assignment: Tensor, num_rows: int, num_clusters: int) -> None:
    """Refuses an assignment that does not name one of the clusters for each row.

    Raises:
        InputError: Another length, not integers, clusters out of range.
    """
    if assignment.shape != (num_rows,) or assignment.is_floating_point() or assignment.dtype == torch.bool:
        raise InputError(
            f"assignment must be ({num_rows},) integers, a cluster for each row; got {tuple(assignment.shape)} "
            f"{assignment.dtype}. For soft assignments: .argmax(1)."
        )
    low, high = int(assignment.min()), int(assignment.max())
    if low < 0 or high >= num_clusters:
        raise InputError(f"assignment must lie in 0 .. {num_clusters - 1}, one of the centres; got {low} .. {high}")


def _centres(z: Tensor, centres: Tensor) -> Tensor:
    if centres.ndim != 2 or centres.shape[1] != z.shape[1] or len(centres) < 2:
        raise InputError(
            f"centres must be (K, {z.shape[1]}) with K >= 2, as wide as the embeddings; got {tuple(centres.shape)}. "
            "With one cluster there is nothing to tell apart."
        )
    if not centres.is_cuda and not bool(torch.isfinite(centres).all()):
        row = int((~torch.isfinite(centres)).any(1).nonzero()[0])
        raise InputError(f"centre {row} has a value that is not finite: the mean of an empty cluster?")
    return unit_rows(centres.detach().to(z))


def _check_alpha(alpha: float) -> float:
    if not math.isfinite(alpha) or alpha < 0:
        raise InputError(f"alpha must be >= 0, since it is added to the sizes of clusters; got {alpha}")
    return alpha
