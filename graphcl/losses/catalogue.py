"""The named pairwise losses, each a composition of `PairLoss`."""

from __future__ import annotations

import math

from torch import Tensor

from graphcl.errors import InputError
from graphcl.losses.links import Link, Reweighted, coupled, decoupled, shared
from graphcl.losses.pair_loss import PairLoss, Similarity, Symmetric
from graphcl.losses.temperature import Temperature
from graphcl.negatives import HCL, Debiased, GlobalAverage, HardTopK, Negatives, Queue


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


def DebiasedContrast(temperature: Temperature = 0.5, *, prior: float | Tensor = 0.1, symmetric: Symmetric = "mean") -> PairLoss:
    """`NTXent` whose negatives are corrected for the share of them that belongs to the anchor's own class.

    ``-l_i+ + log( e^(l_i+) + (Z_i - N_i p e^(l_i+)) / (1 - p) )``, the fraction not below what ``N_i`` opposite rows would
    give. Time ``O(N N D)``, memory ``O(N D)``.
    Chuang, Robinson, Lin, Torralba and Jegelka, 2020, https://arxiv.org/abs/2007.00224. Differs: computed in logarithms.

    Args:
        temperature: Divides the similarity, ``> 0``.
        prior: Probability ``p`` that a negative is a false one, in ``[0, 1)``; one number or ``(N,)``.
        symmetric: Mean or sum of both directions, or one.

    Shapes:
        z1, z2: ``(N, D)``, row ``i`` pairs with row ``i``; returns: scalar.

    Raises:
        InputError: ``temperature <= 0``, a prior out of range, or fewer than two rows (no negatives).
    """
    return NTXent(temperature, negatives=Debiased(prior), symmetric=symmetric)


def HardNegativeContrast(
    temperature: Temperature = 0.5, *, beta: float = 1.0, prior: float | Tensor = 0.1, symmetric: Symmetric = "mean"
) -> PairLoss:
    """`DebiasedContrast` whose similar negatives, the hard ones, count more.

    Negatives are weighted by ``exp(beta l_ij)`` before they are debiased; ``beta = 0`` is `DebiasedContrast`, and with
    ``prior = 0`` too it is `NTXent`. Time ``O(N N D)``, memory ``O(N D)``.
    Robinson, Chuang, Sra and Jegelka, 2021, https://arxiv.org/abs/2010.04592. Differs: computed in logarithms; the mean
    importance is one over the true negatives of each anchor.

    Args:
        temperature: Divides the similarity, ``> 0``.
        beta: How much harder negatives count more, ``>= 0``.
        prior: Probability that a negative is a false one, in ``[0, 1)``; one number or ``(N,)``.
        symmetric: Mean or sum of both directions, or one.

    Shapes:
        z1, z2: ``(N, D)``, row ``i`` pairs with row ``i``; returns: scalar.

    Raises:
        InputError: ``temperature <= 0``, ``beta < 0``, a prior out of range, or fewer than two rows (no negatives).
    """
    return NTXent(temperature, negatives=Debiased(prior, HCL(beta)), symmetric=symmetric)


def HardContrast(temperature: Temperature = 0.3, *, fraction: float = 0.1, symmetric: Symmetric = "mean") -> PairLoss:
    """`InfoNCE` among the most similar negatives of each anchor alone.

    ``-l_ii + log( e^(l_ii) + sum_{j hard} e^(l_ij) )``. Which ones are hard is a constant of the step. Time ``O(N N D)``,
    memory ``O(N k)`` for ``k`` kept negatives.
    Wang and Liu, 2021, https://arxiv.org/abs/2012.09740. Differs: a fixed number of negatives is kept, ties by position.

    Args:
        temperature: Divides the similarity, ``> 0``.
        fraction: Share of the negatives that is kept, in ``(0, 1]``.
        symmetric: Mean or sum of both directions, or one.

    Shapes:
        z1, z2: ``(N, D)``, row ``i`` pairs with row ``i``; returns: scalar.

    Raises:
        InputError: ``temperature <= 0``, a fraction out of range, or fewer than two rows (no negatives).
    """
    return InfoNCE(temperature, negatives=HardTopK(fraction=fraction), symmetric=symmetric)


def MoCo(size: int = 65536, dim: int = 128, *, temperature: Temperature = 0.07) -> PairLoss:
    """Queries find their keys among the keys of earlier batches; called ``loss(queries, keys)``.

    ``-l_ii + log( e^(l_ii) + sum_k e^(<q_i, key_k> / t) )`` over a `Queue`, which is ``loss.negatives``: fill it before the
    first loss and after every step, ``loss.negatives.update(unit_rows(keys))``. Keys come from a slowly moving copy of the
    encoder, without a gradient; `update_target` moves it. Time ``O(N size D)``, memory ``O((N + size) D)``.
    He, Fan, Wu, Xie and Girshick, 2020, https://arxiv.org/abs/1911.05722. Differs: the queue starts empty, not with random
    keys.

    Args:
        size: Keys kept.
        dim: ``D``.
        temperature: Divides the similarity, ``> 0``.

    Shapes:
        z1, z2: ``(N, D)``, queries and keys; returns: scalar.

    Raises:
        InputError: ``temperature <= 0``, an empty queue, keys of another width.
    """
    return PairLoss(coupled, negatives=Queue(size, dim), temperature=temperature, symmetric="off")


def SogCLR(num_instances: int, *, temperature: Temperature = 0.1, gamma: float = 0.9) -> PairLoss:
    """`DCL` whose partitions follow the whole data set, not the batch; called ``loss(z1, z2, ids=indices)``.

    The gradient is that of ``-l_ii + log u_i`` with ``u_i`` a moving average over the steps, see `GlobalAverage`, so that small
    batches come to train as large ones do; the value is an estimate of the loss over all. Time ``O(N N D)``, memory
    ``O(N D)``, state of 5 bytes an instance.
    Yuan, Wu, Qiu, Du, Zhang, Zhou and Yang, 2022, https://arxiv.org/abs/2202.12387. Differs: kept as logarithms; not
    multiplied by the temperature.

    Args:
        num_instances: Instances of the data set; ids are ``0 .. num_instances - 1``.
        temperature: Divides the similarity, ``> 0``.
        gamma: Share of the batch in the moving average, in ``(0, 1]``.

    Shapes:
        z1, z2: ``(N, D)``, row ``i`` pairs with row ``i``; ids: ``(N,)`` integers; returns: scalar.

    Raises:
        InputError: ``temperature <= 0``, a share out of range, no ids or unknown ones.
    """
    return PairLoss(decoupled, negatives=GlobalAverage(num_instances, gamma=gamma), temperature=temperature, intra=True)
