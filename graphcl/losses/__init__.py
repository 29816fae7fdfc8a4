"""How agreement is scored: `PairLoss`, the named losses made of it, and the ones that are not pairwise."""

from graphcl.losses.a_infonce import AInfoNCE
from graphcl.losses.alignment import Alignment
from graphcl.losses.anchors import anchor_mean, check_ids
from graphcl.losses.barlow_twins import BarlowTwins
from graphcl.losses.binary import BCE, JSD
from graphcl.losses.bootstrap import Bootstrap, cosine_momentum, update_target
from graphcl.losses.bpr import BPR, l2_penalty
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
from graphcl.losses.decoupled_uniformity import DecoupledUniformity, rbf_kernel
from graphcl.losses.full_softmax import FullSoftmax, SampledSoftmax
from graphcl.losses.isogclr import ISogCLR
from graphcl.losses.kcl import KCL
from graphcl.losses.kernel_infonce import KernelInfoNCE
from graphcl.losses.links import Link, Reweighted, coupled, decoupled, shared
from graphcl.losses.mv_dhel import MVDHEL
from graphcl.losses.mv_infonce import MVInfoNCE
from graphcl.losses.named import TWO_VIEWS, two_view_loss
from graphcl.losses.pair_loss import PairLoss
from graphcl.losses.pamc_loss import PamCLoss
from graphcl.losses.proto_nce import ProtoNCE, concentration
from graphcl.losses.self_training import self_training, student_t, target_distribution
from graphcl.losses.sinkhorn import sinkhorn
from graphcl.losses.ssge import SSGE
from graphcl.losses.standardise import constant_dimensions, standardise
from graphcl.losses.supcon import SupCon
from graphcl.losses.swav import SwAV
from graphcl.losses.table import LOSSES, LossEntry
from graphcl.losses.temperature import LearnableTemperature, check_temperature
from graphcl.losses.triplet import Triplet
from graphcl.losses.uniformity import Uniformity
from graphcl.losses.vicreg import VICReg
from graphcl.losses.views import unit_rows
from graphcl.losses.w_mse import WMSE

__all__ = [
    "BCE",
    "BPR",
    "CCASSG",
    "CCLK",
    "CWCL",
    "DCL",
    "DCLW",
    "DHEL",
    "JSD",
    "KCL",
    "LOSSES",
    "MVDHEL",
    "NSCL",
    "SSGE",
    "TWO_VIEWS",
    "WMSE",
    "AInfoNCE",
    "Alignment",
    "BarlowTwins",
    "Bootstrap",
    "DebiasedContrast",
    "DecoupledSoftmax",
    "DecoupledUniformity",
    "FullSoftmax",
    "HardContrast",
    "HardNegativeContrast",
    "ISogCLR",
    "InfoNCE",
    "KernelInfoNCE",
    "LearnableTemperature",
    "Link",
    "LossEntry",
    "MVInfoNCE",
    "MoCo",
    "NTXent",
    "NeighborContrast",
    "PairLoss",
    "PamCLoss",
    "ProtoNCE",
    "Reweighted",
    "SampledSoftmax",
    "SogCLR",
    "SupCon",
    "SwAV",
    "Triplet",
    "Uniformity",
    "VICReg",
    "anchor_mean",
    "check_ids",
    "check_temperature",
    "concentration",
    "constant_dimensions",
    "cosine_momentum",
    "coupled",
    "decoupled",
    "l2_penalty",
    "rbf_kernel",
    "self_training",
    "shared",
    "sinkhorn",
    "standardise",
    "student_t",
    "target_distribution",
    "two_view_loss",
    "unit_rows",
    "update_target",
]
