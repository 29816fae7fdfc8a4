"""The named pairwise losses, each a composition of `PairLoss`, and the table of all that ``graphcl list losses`` shows."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from graphcl.losses.barlow_twins import BarlowTwins
from graphcl.losses.binary import BCE, JSD
from graphcl.losses.bootstrap import Bootstrap
from graphcl.losses.bpr import BPR
from graphcl.losses.cca_ssg import CCASSG
from graphcl.losses.decoupled_uniformity import DecoupledUniformity
from graphcl.losses.links import coupled, decoupled
from graphcl.losses.pair_loss import PairLoss, Similarity, Symmetric
from graphcl.losses.ssge import SSGE
from graphcl.losses.swav import SwAV
from graphcl.losses.triplet import Triplet
from graphcl.losses.vicreg import VICReg
from graphcl.losses.w_mse import WMSE
from graphcl.negatives import Negatives


def InfoNCE(temperature: float = 0.5, *, negatives: Negatives | None = None, symmetric: Symmetric = "mean") -> PairLoss:
    """Cross-entropy of finding row ``i`` of one view among all rows of the other.

    ``-s_ii / t + log sum_j exp(s_ij / t)``. Time ``O(N N D)``, memory ``O(N D)`` with exact negatives.
    van den Oord, Li and Vinyals, 2018, https://arxiv.org/abs/1807.03748. Differs in being the mean of both directions
    unless told otherwise.

    Args:
        temperature: Divides the similarity, ``> 0``.
        negatives: Estimator of the negative term; exact when ``None``.
        symmetric: Mean or sum of both directions, or one.

    Shapes:
        z1, z2: ``(N, D)``, row ``i`` pairs with row ``i``; returns: scalar.

    Raises:
        InputError: ``temperature <= 0``, or fewer than two rows (no negatives).
    """
    return PairLoss(coupled, negatives=negatives, temperature=temperature, symmetric=symmetric)


def NeighborContrast(
    temperature: float = 0.5, *, negatives: Negatives | None = None, similarity: Similarity = "cosine"
) -> PairLoss:
    """A node agrees with its neighbours and differs from everyone else; called ``loss(z, z, positives=adjacency)``.

    ``-sum_j M_ij s_ij / t + log sum_{j != i} exp(s_ij / t)`` with ``M`` the row-normalised adjacency, or the mean of its
    powers. Time ``O(N N D + E D)`` with exact negatives, ``O(N K D + E D)`` with meta-nodes.
    Hu et al., 2021 (Graph-MLP), https://arxiv.org/abs/2106.04051, and Kulatilleke et al., 2022, https://arxiv.org/abs/2204.12656.
    Differs: the positives are averaged outside the exponential, so they need no weight matrix with filled-in powers; the
    self pair is left out instead of counted with similarity zero; the temperature divides, the papers' multiplies.

    Args:
        temperature: Divides the similarity, ``> 0``.
        negatives: Estimator of the negative term; exact when ``None``, `MetaNode` for PamC's.
        similarity: ``"dot"`` where the rows have length 1 already.

    Shapes:
        z: ``(N, D)``; positives: ``(N, N)``; returns: scalar.

    Raises:
        InputError: ``temperature <= 0``, fewer than two rows, or a graph without edges.
    """
    return PairLoss(decoupled, negatives=negatives, temperature=temperature, similarity=similarity, symmetric="off")


LOSSES: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "info-nce": (InfoNCE, "find the same row in the other view (van den Oord et al., 2018)"),
    "neighbor-contrast": (NeighborContrast, "agree with graph neighbours, differ from the rest (Hu et al., 2021)"),
    "barlow-twins": (BarlowTwins, "cross-correlation of two views becomes the identity (Zbontar et al., 2021)"),
    "bce": (BCE, "tell positive from negative scores one by one (Velickovic et al., 2019)"),
    "bootstrap": (Bootstrap, "predict a slow copy's view, without negatives (Grill et al., 2020)"),
    "bpr": (BPR, "rank what was chosen above what was not (Rendle et al., 2009)"),
    "cca-ssg": (CCASSG, "standardised views agree, dimensions are uncorrelated (Zhang et al., 2021)"),
    "decoupled-uniformity": (
        DecoupledUniformity,
        "centroids of the views spread out, prior knowledge as a kernel (Dufumier et al., 2022)",
    ),
    "jsd": (JSD, "BCE shifted to 0 where scores tell nothing: a bound on mutual information (Hjelm et al., 2019)"),
    "ssge": (SSGE, "standardised views agree, each close to an isotropic Gaussian (Liu et al., 2024)"),
    "swav": (SwAV, "each view predicts the other's balanced prototypes (Caron et al., 2020)"),
    "triplet": (Triplet, "positives nearer than negatives by a margin, over all triplets (Weinberger and Saul, 2009)"),
    "vicreg": (VICReg, "views agree, dimensions vary and do not covary (Bardes et al., 2021)"),
    "w-mse": (WMSE, "whitened views agree (Ermolov et al., 2020)"),
}
