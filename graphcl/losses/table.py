"""All named losses and what each is made of: the table behind ``graphcl list losses`` and ``docs/losses.md``."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import nn

from graphcl.losses.a_infonce import AInfoNCE
from graphcl.losses.alignment import Alignment
from graphcl.losses.barlow_twins import BarlowTwins
from graphcl.losses.binary import BCE, JSD
from graphcl.losses.bootstrap import Bootstrap
from graphcl.losses.bpr import BPR
from graphcl.losses.catalogue import (
    DCL,
    DCLW,
    DHEL,
    NSCL,
    DebiasedContrast,
    HardContrast,
    HardNegativeContrast,
    InfoNCE,
    MoCo,
    NeighborContrast,
    NTXent,
    SogCLR,
)
from graphcl.losses.cca_ssg import CCASSG
from graphcl.losses.cclk import CCLK
from graphcl.losses.cwcl import CWCL
from graphcl.losses.decoupled_softmax import DecoupledSoftmax
from graphcl.losses.decoupled_uniformity import DecoupledUniformity
from graphcl.losses.full_softmax import FullSoftmax, SampledSoftmax
from graphcl.losses.isogclr import ISogCLR
from graphcl.losses.kcl import KCL
from graphcl.losses.kernel_infonce import KernelInfoNCE
from graphcl.losses.mv_dhel import MVDHEL
from graphcl.losses.mv_infonce import MVInfoNCE
from graphcl.losses.pamc_loss import PamCLoss
from graphcl.losses.proto_nce import ProtoNCE
from graphcl.losses.ssge import SSGE
from graphcl.losses.supcon import SupCon
from graphcl.losses.swav import SwAV
from graphcl.losses.triplet import Triplet
from graphcl.losses.uniformity import Uniformity
from graphcl.losses.vicreg import VICReg
from graphcl.losses.w_mse import WMSE


class LossEntry(NamedTuple):
    """A loss: how it is made, a line about it, and its parts in words."""

    make: Callable[..., nn.Module]
    description: str
    similarity: str
    positives: str
    negatives: str
    link: str


_ANY = "any estimator"
LOSSES: dict[str, LossEntry] = {
    "info-nce": LossEntry(
        InfoNCE,
        "find the same row in the other view (van den Oord et al., 2018)",
        *("cosine", "same row", f"other view; {_ANY}", "coupled"),
    ),
    "nt-xent": LossEntry(
        NTXent,
        "find the same row among all other rows of both views (Chen et al., 2020)",
        *("cosine", "same row", f"both views; {_ANY}", "coupled"),
    ),
    "dcl": LossEntry(
        DCL,
        "NT-Xent with the positive left out of the partition (Yeh et al., 2022)",
        *("cosine", "same row", f"both views; {_ANY}", "decoupled"),
    ),
    "dclw": LossEntry(
        DCLW,
        "DCL whose positives weigh less the better they agree (Yeh et al., 2022)",
        *("cosine", "same row, reweighted", f"both views; {_ANY}", "decoupled"),
    ),
    "dhel": LossEntry(
        DHEL,
        "agree across views, spread out within each (Koromilas et al., 2024)",
        *("cosine", "same row", f"own view; {_ANY}", "decoupled, two energies"),
    ),
    "nscl": LossEntry(
        NSCL,
        "rows of one label are no negatives of each other (Luthra et al., 2025)",
        *("cosine", "same row", f"other labels of both views; {_ANY}", "decoupled or coupled"),
    ),
    "mv-info-nce": LossEntry(
        MVInfoNCE,
        "any number of views joined in one term an instance (Koromilas et al., 2025)",
        *("cosine", "all views of the instance", "all views, exact", "coupled, inside the logarithm"),
    ),
    "mv-dhel": LossEntry(
        MVDHEL,
        "DHEL for any number of views (Koromilas et al., 2025)",
        *("cosine", "all views of the instance", "own view, exact", "decoupled, an energy a view"),
    ),
    "a-info-nce": LossEntry(
        AInfoNCE,
        "InfoNCE whose gradient moves the inferior view more (Yu et al., 2022)",
        *("cosine, gradients shared out", "same row", f"other view or both; {_ANY}", "coupled"),
    ),
    "debiased": LossEntry(
        DebiasedContrast,
        "NT-Xent less the share of false negatives (Chuang et al., 2020)",
        *("cosine", "same row", "both views, debiased", "coupled"),
    ),
    "hcl": LossEntry(
        HardNegativeContrast,
        "NT-Xent whose similar negatives count more (Robinson et al., 2021)",
        *("cosine", "same row", "both views, reweighted and debiased", "coupled"),
    ),
    "hard-contrast": LossEntry(
        HardContrast,
        "only the hardest negatives count (Wang and Liu, 2021)",
        *("cosine", "same row", "hardest of the other view", "coupled"),
    ),
    "moco": LossEntry(
        MoCo,
        "negatives are the keys of earlier steps (He et al., 2020)",
        *("cosine", "same row", "a queue", "coupled"),
    ),
    "sog-clr": LossEntry(
        SogCLR,
        "negatives of the whole data set by a moving average (Yuan et al., 2022)",
        *("cosine", "same row", "moving average", "decoupled"),
    ),
    "isog-clr": LossEntry(
        ISogCLR,
        "SogCLR with a temperature for each instance (Qiu et al., 2023)",
        *("cosine, temperature a row", "same row", "moving average", "decoupled"),
    ),
    "kernel-info-nce": LossEntry(
        KernelInfoNCE,
        "powers of the distance as logits, and their mixture (Tan et al., 2023)",
        *("power of the distance", "same row", "other view or both, exact", "coupled"),
    ),
    "cwcl": LossEntry(
        CWCL,
        "targets are similarities of frozen features (Srinivasa et al., 2023)",
        *("cosine", "all rows, weighted by a kernel", "other view, exact", "coupled"),
    ),
    "ccl-k": LossEntry(
        CCLK,
        "rows of one label are the negatives, or the positives (Tsai et al., 2022)",
        *("cosine", "same row, or same label", "same label, or all, weighted", "coupled"),
    ),
    "sup-con": LossEntry(
        SupCon,
        "find all rows of one's label among all others (Khosla et al., 2020)",
        *("cosine", "same label", "all other rows, exact", "coupled, outside or inside"),
    ),
    "decoupled-softmax": LossEntry(
        DecoupledSoftmax,
        "find each row of one's label among the other labels (Gupta et al., 2023)",
        *("cosine", "same label", "other labels, exact", "per positive"),
    ),
    "neighbor-contrast": LossEntry(
        NeighborContrast,
        "agree with graph neighbours, differ from the rest (Hu et al., 2021)",
        *("cosine", "neighbours up to some hops", f"all other nodes; {_ANY}", "decoupled"),
    ),
    "pamc": LossEntry(
        PamCLoss,
        "agree with graph neighbours, differ from clusters, as published (Kulatilleke et al., 2022)",
        *("cosine", "neighbours, inside the logarithm", "clusters", "decoupled"),
    ),
    "proto-nce": LossEntry(
        ProtoNCE,
        "find the centre of one's cluster among all centres (Li et al., 2021)",
        *("cosine, temperature a column", "own centre", "other centres, exact", "coupled"),
    ),
    "full-softmax": LossEntry(
        FullSoftmax,
        "find the item chosen in the whole catalogue, never held as logits (van den Oord et al., 2018)",
        *("dot", "target item", f"all other items; {_ANY}", "coupled"),
    ),
    "sampled-softmax": LossEntry(
        SampledSoftmax,
        "full softmax by a few draws, corrected by their probability (Jean et al., 2015)",
        *("dot", "target item", "draws", "coupled"),
    ),
    "kcl": LossEntry(
        KCL,
        "near across views, far within, by means of one kernel (Koromilas et al., 2024)",
        *("kernel of the distance", "same row", "own view, exact mean", "linear"),
    ),
    "alignment": LossEntry(
        Alignment,
        "two views are near each other (Wang and Isola, 2020)",
        *("power of the distance", "same row", "none", "linear"),
    ),
    "uniformity": LossEntry(
        Uniformity,
        "rows of a view spread over the sphere (Wang and Isola, 2020)",
        *("Gaussian", "none", "own view, exact", "logarithm of the mean"),
    ),
    "decoupled-uniformity": LossEntry(
        DecoupledUniformity,
        "centroids of the views spread out, prior knowledge as a kernel (Dufumier et al., 2022)",
        *("Gaussian of centroids", "inside the centroid", "other centroids, exact", "logarithm of the mean"),
    ),
    "bce": LossEntry(
        BCE,
        "tell positive from negative scores one by one (Velickovic et al., 2019)",
        *("given scores", "given", "given", "logistic"),
    ),
    "jsd": LossEntry(
        JSD,
        "BCE shifted to 0 where scores tell nothing: a bound on mutual information (Hjelm et al., 2019)",
        *("given scores", "given", "given", "logistic"),
    ),
    "bpr": LossEntry(
        BPR,
        "rank what was chosen above what was not (Rendle et al., 2009)",
        *("given scores", "given", "given", "logistic of differences"),
    ),
    "triplet": LossEntry(
        Triplet,
        "positives nearer than negatives by a margin, over all triplets (Weinberger and Saul, 2009)",
        *("distance", "same row or same label", "the others, mined", "hinge"),
    ),
    "bootstrap": LossEntry(
        Bootstrap,
        "predict a slow copy's view, without negatives (Grill et al., 2020)",
        *("cosine", "same row, constant", "none", "linear"),
    ),
    "swav": LossEntry(
        SwAV,
        "each view predicts the other's balanced prototypes (Caron et al., 2020)",
        *("dot with prototypes", "balanced assignment", "all prototypes, exact", "coupled"),
    ),
    "barlow-twins": LossEntry(
        BarlowTwins,
        "cross-correlation of two views becomes the identity (Zbontar et al., 2021)",
        *("of dimensions", "same dimension", "other dimensions", "squares"),
    ),
    "vicreg": LossEntry(
        VICReg,
        "views agree, dimensions vary and do not covary (Bardes et al., 2021)",
        *("of dimensions", "same row", "other dimensions", "squares and hinge"),
    ),
    "cca-ssg": LossEntry(
        CCASSG,
        "standardised views agree, dimensions are uncorrelated (Zhang et al., 2021)",
        *("of dimensions", "same row", "other dimensions", "squares"),
    ),
    "ssge": LossEntry(
        SSGE,
        "standardised views agree, each close to an isotropic Gaussian (Liu et al., 2024)",
        *("of dimensions", "same row", "spectrum of the covariance", "linear"),
    ),
    "w-mse": LossEntry(
        WMSE,
        "whitened views agree (Ermolov et al., 2020)",
        *("cosine of whitened rows", "same row", "none", "linear"),
    ),
}
