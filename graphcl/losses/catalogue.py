"""The named pairwise losses, each a composition of `PairLoss`, and the table of all that ``graphcl list losses`` shows."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import nn

from graphcl.errors import InputError
from graphcl.losses.alignment import Alignment
from graphcl.losses.barlow_twins import BarlowTwins
from graphcl.losses.binary import BCE, JSD
from graphcl.losses.bootstrap import Bootstrap
from graphcl.losses.bpr import BPR
from graphcl.losses.cca_ssg import CCASSG
from graphcl.losses.decoupled_softmax import DecoupledSoftmax
from graphcl.losses.decoupled_uniformity import DecoupledUniformity
from graphcl.losses.kcl import KCL
from graphcl.losses.links import Link, Reweighted, coupled, decoupled, shared
from graphcl.losses.pair_loss import PairLoss, Similarity, Symmetric
from graphcl.losses.ssge import SSGE
from graphcl.losses.supcon import SupCon
from graphcl.losses.swav import SwAV
from graphcl.losses.temperature import Temperature
from graphcl.losses.triplet import Triplet
from graphcl.losses.uniformity import Uniformity
from graphcl.losses.vicreg import VICReg
from graphcl.losses.w_mse import WMSE
from graphcl.negatives import Negatives


def InfoNCE(temperature: Temperature = 0.5, *, negatives: Negatives | None = None, symmetric: Symmetric = "mean") -> PairLoss:
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
    temperature: Temperature = 0.5, *, negatives: Negatives | None = None, similarity: Similarity = "cosine"
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
    return PairLoss(
        decoupled,
        negatives=negatives,
        temperature=temperature,
        similarity=similarity,
        symmetric="off",
        missing_positive="skip",
    )


def NTXent(temperature: Temperature = 0.5, *, negatives: Negatives | None = None, symmetric: Symmetric = "mean") -> PairLoss:
    """Cross-entropy of finding row ``i`` of one view among all rows of the other and the other rows of its own view.

    ``-s_ii / t + log sum_{2 N - 1} exp(s / t)``: `InfoNCE` on both views stacked, without the self pair. Time
    ``O(N N D)``, memory ``O(N D)`` with exact negatives.
    Chen, Kornblith, Norouzi and Hinton, 2020 (SimCLR), https://arxiv.org/abs/2002.05709; on graphs Zhu et al., 2020 (GRACE),
    https://arxiv.org/abs/2006.04131. Differs: no similarity matrix is held, in batches or whole.

    Args:
        temperature: Divides the similarity, ``> 0``.
        negatives: Estimator of the negative term, of both views at once; exact when ``None``.
        symmetric: Mean or sum of both directions, or one.

    Shapes:
        z1, z2: ``(N, D)``, row ``i`` pairs with row ``i``; returns: scalar.

    Raises:
        InputError: ``temperature <= 0``, or fewer than two rows (no negatives).
    """
    return PairLoss(coupled, negatives=negatives, temperature=temperature, symmetric=symmetric, intra=True)


def DCL(temperature: Temperature = 0.1, *, negatives: Negatives | None = None, symmetric: Symmetric = "mean") -> PairLoss:
    """Decoupled contrastive loss: `NTXent` with the positive left out of the partition.

    ``-s_ii / t + log sum_{2 (N - 1)} exp(s / t)``; not bounded below. Time ``O(N N D)``, memory ``O(N D)`` with exact
    negatives.
    Yeh et al., 2022, https://arxiv.org/abs/2110.06848. Differs from the reference code: masked pairs are skipped, not given a
    large negative constant, and both directions are averaged, not one taken.

    Args:
        temperature: Divides the similarity, ``> 0``.
        negatives: Estimator of the negative term, of both views at once; exact when ``None``.
        symmetric: Mean or sum of both directions, or one.

    Shapes:
        z1, z2: ``(N, D)``, row ``i`` pairs with row ``i``; returns: scalar.

    Raises:
        InputError: ``temperature <= 0``, or fewer than two rows (no negatives).
    """
    return PairLoss(decoupled, negatives=negatives, temperature=temperature, symmetric=symmetric, intra=True)


def DHEL(temperature: Temperature = 0.3, *, negatives: Negatives | None = None) -> PairLoss:
    """Views agree across, and each view spreads out on its own: no pair of different rows is compared across views.

    ``-s_ii / t + log sum_{j != i} exp(s1_ij / t) + log sum_{j != i} exp(s2_ij / t)``. Time ``O(N N D)``, memory ``O(N D)``
    with exact negatives.
    Koromilas, Bouritsas, Giannakopoulos, Nicolaou and Panagakis, 2024, https://arxiv.org/abs/2405.18045. Differs: energies of
    both views count.

    Args:
        temperature: Divides the similarity, ``> 0``.
        negatives: Estimator of the negative term of one view; exact when ``None``.

    Shapes:
        z1, z2: ``(N, D)``, row ``i`` pairs with row ``i``; returns: scalar.

    Raises:
        InputError: ``temperature <= 0``, or fewer than two rows (no negatives).
    """
    return PairLoss(shared, negatives=negatives, temperature=temperature, symmetric="sum", intra="only")


def DCLW(
    temperature: float = 0.1,
    *,
    sigma: float = 0.5,
    detach: bool = True,
    negatives: Negatives | None = None,
    symmetric: Symmetric = "mean",
) -> PairLoss:
    """`DCL` whose positives weigh the less the better they agree already.

    ``-w_i s_ii / t + log sum_{2 (N - 1)} exp(s / t)`` with ``w_i = 2 - N softmax_i(s_ii / sigma)``, whose mean is 1. Time
    ``O(N N D)``, memory ``O(N D)`` with exact negatives.
    Yeh et al., 2022, https://arxiv.org/abs/2110.06848. Differs from the reference code, which lets the gradient through the
    weights; ask for it by ``detach=False``.

    Args:
        temperature: Divides the similarity, ``> 0``.
        sigma: Width of the weights, ``> 0``; the larger, the nearer they are to 1.
        detach: Whether the weights are constants of the step.
        negatives: Estimator of the negative term, of both views at once; exact when ``None``.
        symmetric: Mean or sum of both directions, or one.

    Shapes:
        z1, z2: ``(N, D)``, row ``i`` pairs with row ``i``; returns: scalar.

    Raises:
        InputError: ``temperature <= 0``, ``sigma <= 0``, or fewer than two rows (no negatives).
    """
    if not math.isfinite(sigma) or sigma <= 0:
        raise InputError(f"sigma must be > 0, since it divides the similarity of positives; got {sigma}")
    link = Reweighted(temperature / sigma, detach)
    return PairLoss(link, negatives=negatives, temperature=temperature, symmetric=symmetric, intra=True)


def NSCL(
    temperature: Temperature = 0.5,
    *,
    link: Link = decoupled,
    negatives: Negatives | None = None,
    symmetric: Symmetric = "mean",
) -> PairLoss:
    """Negatives-only supervised loss: labels say who is no negative; called ``loss(z1, z2, ids=labels)``.

    ``-s_ii / t + log sum_{y_j != y_i} exp(s_ij / t)`` over the rows of both views: `DCL`, or with the coupled link `NTXent`,
    without the pairs of one label; without ``ids`` it is that loss itself. Time ``O(N N D)``, memory ``O(N D)`` with exact
    negatives.
    Luthra, Yang and Galanti, 2025, https://arxiv.org/abs/2506.04411. Differs: no view is paired with itself, which in the
    paper's formula adds a constant; the paper's code has the coupled link.

    Args:
        temperature: Divides the similarity, ``> 0``.
        link: ``decoupled`` or ``coupled``.
        negatives: Estimator of the negative term, of both views at once; exact when ``None``.
        symmetric: Mean or sum of both directions, or one.

    Shapes:
        z1, z2: ``(N, D)``, row ``i`` pairs with row ``i``; ids: ``(N,)`` integers; returns: scalar.

    Raises:
        InputError: ``temperature <= 0``, fewer than two rows, or one label only (no negatives).
    """
    return PairLoss(link, negatives=negatives, temperature=temperature, symmetric=symmetric, intra=True)


LOSSES: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "info-nce": (InfoNCE, "find the same row in the other view (van den Oord et al., 2018)"),
    "neighbor-contrast": (NeighborContrast, "agree with graph neighbours, differ from the rest (Hu et al., 2021)"),
    "nt-xent": (NTXent, "find the same row among all other rows of both views (Chen et al., 2020)"),
    "dcl": (DCL, "NT-Xent with the positive left out of the partition (Yeh et al., 2022)"),
    "dhel": (DHEL, "agree across views, spread out within each (Koromilas et al., 2024)"),
    "dclw": (DCLW, "DCL whose positives weigh less the better they agree (Yeh et al., 2022)"),
    "nscl": (NSCL, "rows of one label are no negatives of each other (Luthra et al., 2025)"),
    "sup-con": (SupCon, "find all rows of one's label among all others (Khosla et al., 2020)"),
    "decoupled-softmax": (DecoupledSoftmax, "find each row of one's label among the other labels (Gupta et al., 2023)"),
    "alignment": (Alignment, "two views are near each other (Wang and Isola, 2020)"),
    "uniformity": (Uniformity, "rows of a view spread over the sphere (Wang and Isola, 2020)"),
    "kcl": (KCL, "near across views, far within, by means of one kernel (Koromilas et al., 2024)"),
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
