"""Swap losses and negatives under one graph encoder, on two corrupted views of the digits graph, and print the table.

Run: python examples/04_swap_losses_and_negatives.py
"""

import time

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from graphcl import datasets
from graphcl.augment import DropEdges, MaskFeatures
from graphcl.evaluation import clustering_scores, kmeans
from graphcl.losses import DCL, DHEL, KCL, BarlowTwins, InfoNCE, NTXent, VICReg
from graphcl.models.encoders import GCN
from graphcl.negatives import HCL, Hybrid, MetaNode, Sampled
from graphcl.training import seed_everything

data = datasets.load("digits")
groups = torch.from_numpy(kmeans(data.x.numpy(), 100, seed=0).labels)  # many small clusters stand for their members
communities = torch.from_numpy(kmeans(data.x.numpy(), 10, seed=0).labels)
hybrid = Hybrid(groups, 100, tolerance=0.01)
ROWS = {
    "InfoNCE, exact": InfoNCE(0.5),
    "InfoNCE, meta-nodes": InfoNCE(0.5, negatives=MetaNode(groups, 100)),
    "InfoNCE, near exact and far meta-nodes": InfoNCE(0.5, negatives=hybrid),
    "InfoNCE, 200 draws": InfoNCE(0.5, negatives=Sampled(200)),
    "InfoNCE, hard ones weigh more": InfoNCE(0.5, negatives=HCL(1.0)),
    "NT-Xent, both views": NTXent(0.5),
    "DCL, both views": DCL(0.5),
    "DHEL, own view": DHEL(0.5),
    "KCL, Gaussian kernel": KCL(),
    "Barlow Twins": BarlowTwins(),
    "VICReg": VICReg(),
}


def train(loss: nn.Module, epochs: int = 30) -> tuple[float, float]:
    """Accuracy of k-means on the embedding, and seconds a step."""
    seed_everything(0)
    encoder = GCN(data.x.shape[1], 64, hidden=128)
    head = nn.Sequential(nn.Linear(64, 64), nn.ELU(), nn.Linear(64, 64))
    optimiser = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=2e-3)
    edges, features = DropEdges(0.3), MaskFeatures(0.3)
    started = time.perf_counter()
    for _ in range(epochs):
        optimiser.zero_grad()
        z1, z2 = (head(encoder(data.x, edges.adjacency(data), columns=features.columns(data))) for _ in range(2))
        loss(z1, z2).backward()
        optimiser.step()
    seconds = (time.perf_counter() - started) / epochs
    with torch.no_grad():
        z = encoder(data.x, data.edge_index).numpy()
    return clustering_scores(data.y, kmeans(z, 10, seed=0).labels)["acc"], seconds


table = Table("loss and negatives", "acc", "s a step")
for name, loss in ROWS.items():
    accuracy, seconds = train(loss)
    table.add_row(name, f"{accuracy:.3f}", f"{seconds:.3f}")
Console(width=80).print(table)
print("the hybrid's last step:", hybrid.certificate)
print(f"k-means on pixels: {clustering_scores(data.y, communities.numpy())['acc']:.3f}")
