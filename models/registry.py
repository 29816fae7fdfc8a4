"""The router from names to systems: one table, read without importing torch."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from graphcl.errors import unknown_name


@dataclass(frozen=True)
class SystemEntry:
    """Where a system lives, which task it serves, and what it is in a line."""

    name: str
    task: str
    module: str
    cls: str
    description: str

    def load(self) -> type[Any]:
        """The class itself; this is where torch is imported."""
        found: type[Any] = getattr(import_module(self.module), self.cls)
        return found


_CLUSTERING = "graphcl.models.clustering"
_NODE = "graphcl.models.node"
_RECSYS = "graphcl.recsys.systems"
_SEQUENTIAL = f"{_RECSYS}.sequential"
SYSTEMS = {
    entry.name: entry
    for entry in (
        SystemEntry(
            "pamc", "clustering", f"{_CLUSTERING}.pamc", "PamC", "contrast against meta-nodes (Kulatilleke et al., 2022)"
        ),
        SystemEntry(
            "sdcn",
            "clustering",
            f"{_CLUSTERING}.sdcn",
            "SDCN",
            "an auto-encoder and a graph network teach each other (Bo et al., 2020)",
        ),
        SystemEntry(
            "scgc-k",
            "clustering",
            f"{_CLUSTERING}.scgc_k",
            "SCGCK",
            "an auto-encoder whose neighbours agree, against all other nodes (Kulatilleke et al., 2022)",
        ),
        SystemEntry(
            "scgc-l",
            "clustering",
            f"{_CLUSTERING}.scgc_l",
            "SCGCL",
            "two linear maps of smoothed features, told to agree along edges (Liu et al., 2022)",
        ),
        SystemEntry(
            "dink-net",
            "clustering",
            f"{_CLUSTERING}.dink_net",
            "DinkNet",
            "tell real nodes from shuffled ones, then part the centres (Liu et al., 2023)",
        ),
        SystemEntry(
            "magi",
            "clustering",
            f"{_CLUSTERING}.magi",
            "MAGI",
            "nodes that walks bring together agree: modularity as contrast (Liu et al., 2024)",
        ),
        SystemEntry(
            "grace", "node", f"{_NODE}.grace", "GRACE", "tell every node from all others of two views (Zhu et al., 2020)"
        ),
        SystemEntry("gca", "node", f"{_NODE}.gca", "GCA", "as grace, sparing central edges and features (Zhu et al., 2021)"),
        SystemEntry(
            "cca-ssg",
            "node",
            f"{_NODE}.cca_ssg",
            "CCASSG",
            "views agree, their dimensions are uncorrelated (Zhang et al., 2021)",
        ),
        SystemEntry(
            "gbt", "node", f"{_NODE}.gbt", "GBT", "cross-correlation of two views becomes the identity (Bielak et al., 2021)"
        ),
        SystemEntry(
            "dgi", "node", f"{_NODE}.dgi", "DGI", "nodes told from shuffled ones by a summary (Velickovic et al., 2019)"
        ),
        SystemEntry(
            "bgrl", "node", f"{_NODE}.bgrl", "BGRL", "predict what a slow copy of the network sees (Thakoor et al., 2022)"
        ),
        SystemEntry(
            "ssge", "node", f"{_NODE}.ssge", "SSGE", "views agree, embeddings spread like a Gaussian (Liu et al., 2024)"
        ),
        SystemEntry(
            "pot-grace",
            "node",
            f"{_NODE}.pot",
            "PotGRACE",
            "grace, provably far from others without some edges (Yu et al., 2023)",
        ),
        SystemEntry("pot-gca", "node", f"{_NODE}.pot", "PotGCA", "gca with the same bounds (Yu et al., 2023)"),
        SystemEntry(
            "csgcl", "node", f"{_NODE}.csgcl", "CSGCL", "as gca, sparing and favouring strong communities (Chen et al., 2023)"
        ),
        SystemEntry("progcl", "node", f"{_NODE}.progcl", "ProGCL", "as gca, false negatives counting less (Xia et al., 2022)"),
        SystemEntry(
            "mvgrl", "node", f"{_NODE}.mvgrl", "MVGRL", "a graph told by its diffusion, and back (Hassani et al., 2020)"
        ),
        SystemEntry(
            "lightgcn",
            "recommendation",
            f"{_RECSYS}.lightgcn",
            "LightGCN",
            "the mean of what comes over a few hops, ranked by BPR (He et al., 2020)",
        ),
        SystemEntry(
            "mf-bpr",
            "recommendation",
            f"{_RECSYS}.mf_bpr",
            "MFBPR",
            "matrix factorisation, ranked by BPR (Rendle et al., 2009)",
        ),
        SystemEntry(
            "sgl", "recommendation", f"{_RECSYS}.sgl", "SGL", "LightGCN whose views of a thinned graph agree (Wu et al., 2021)"
        ),
        SystemEntry(
            "simgcl", "recommendation", f"{_RECSYS}.simgcl", "SimGCL", "LightGCN whose noisy views agree (Yu et al., 2022)"
        ),
        SystemEntry(
            "xsimgcl",
            "recommendation",
            f"{_RECSYS}.xsimgcl",
            "XSimGCL",
            "one noisy view that agrees with its own layers (Yu et al., 2023)",
        ),
        SystemEntry(
            "lightgcl",
            "recommendation",
            f"{_RECSYS}.lightgcl",
            "LightGCL",
            "the graph agrees with its own low-rank picture (Cai et al., 2023)",
        ),
        SystemEntry(
            "dccf",
            "recommendation",
            f"{_RECSYS}.dccf",
            "DCCF",
            "intents and masks that learn, and agree with the graph (Ren et al., 2023)",
        ),
        SystemEntry(
            "ultragcn",
            "recommendation",
            f"{_RECSYS}.ultragcn",
            "UltraGCN",
            "the limit of many layers as weights of a loss, no propagation (Mao et al., 2021)",
        ),
        SystemEntry(
            "directau",
            "recommendation",
            f"{_RECSYS}.directau",
            "DirectAU",
            "what belongs together is near, everybody spreads out (Wang et al., 2022)",
        ),
        SystemEntry(
            "sasrec", "sequential", f"{_SEQUENTIAL}.sasrec", "SASRec", "self-attention over a history (Kang and McAuley, 2018)"
        ),
        SystemEntry(
            "gru4rec",
            "sequential",
            f"{_SEQUENTIAL}.gru4rec",
            "GRU4Rec",
            "a recurrent network over a history (Hidasi et al., 2016)",
        ),
        SystemEntry(
            "cl4srec",
            "sequential",
            f"{_SEQUENTIAL}.cl4srec",
            "CL4SRec",
            "sasrec whose damaged copies of a history agree (Xie et al., 2022)",
        ),
        SystemEntry(
            "duorec",
            "sequential",
            f"{_SEQUENTIAL}.duorec",
            "DuoRec",
            "histories that lead to one item agree, without damage (Qiu et al., 2022)",
        ),
        SystemEntry(
            "iclrec",
            "sequential",
            f"{_SEQUENTIAL}.iclrec",
            "ICLRec",
            "cl4srec, and histories agree with the centre of their intent (Chen et al., 2022)",
        ),
        SystemEntry(
            "mclrec",
            "sequential",
            f"{_SEQUENTIAL}.mclrec",
            "MCLRec",
            "cl4srec with augmenters of states that are learnt in turn (Qin et al., 2023)",
        ),
        SystemEntry(
            "icsrec",
            "sequential",
            f"{_SEQUENTIAL}.icsrec",
            "ICSRec",
            "prefixes before one item agree, and with their intent (Qin et al., 2024)",
        ),
    )
}


def find_system(name: str, task: str | None = None) -> SystemEntry:
    """The entry of a system.

    Args:
        name: As ``graphcl list systems`` shows it.
        task: Only systems of this task count; all when ``None``.

    Raises:
        InputError: Unknown, with the nearest names.
    """
    known = {key: entry for key, entry in SYSTEMS.items() if task in (None, entry.task)}
    if name not in known:
        raise unknown_name("system" if task is None else f"{task} method", name, known)
    return known[name]
