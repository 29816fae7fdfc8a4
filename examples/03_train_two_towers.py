"""Match the left and the right half of handwritten digits by two towers: the core alone, on plain tensors, without a graph.

Whole-set batches: 1,400 pairs are contrasted at once, each against all others, while only 256 rows of activations are alive.

Run: python examples/03_train_two_towers.py
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

from graphcl.losses import InfoNCE, unit_rows
from graphcl.losses.temperature import LearnableTemperature
from graphcl.training import embed_then_loss, seed_everything

seed_everything(0)
images = torch.tensor(load_digits().images, dtype=torch.float32) / 16  # (N, 8, 8)
images = images[torch.randperm(len(images))]
halves = images[:, :, :4].flatten(1), images[:, :, 4:].flatten(1)
train, test = ([half[rows] for half in halves] for rows in (slice(None, 1400), slice(1400, None)))


def tower() -> nn.Module:
    """A perceptron of its own for each side."""
    return nn.Sequential(nn.Linear(32, 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, 64))


towers = nn.ModuleList([tower(), tower()])
loss = InfoNCE(LearnableTemperature(0.1))
optimiser = torch.optim.Adam([*towers.parameters(), *loss.parameters()], lr=3e-3)


@torch.no_grad()
def recall(k: int) -> float:
    """How often the right half of an image is among the k that its left half finds best, over unseen images."""
    towers.eval()
    left, right = (unit_rows(one(half)) for one, half in zip(towers, test, strict=True))
    scores = left @ right.T
    towers.train()
    return float((scores.argsort(dim=1, descending=True)[:, :k] == torch.arange(len(left))[:, None]).any(1).float().mean())


for step in range(1, 101):
    optimiser.zero_grad()
    value = embed_then_loss(list(towers), train, loss, chunk=256)  # the gradient of the whole batch, chunk by chunk
    optimiser.step()
    if step in (1, 25, 50, 100):
        found = f"recall@1 {recall(1):.3f}  @10 {recall(10):.3f}"
        print(f"step {step:3d}  {found}  loss {float(value):.3f}  temperature {1 / float(loss.temperature().detach()):.3f}")
print(f"chance    recall@1 {1 / len(test[0]):.3f}  @10 {10 / len(test[0]):.3f}")
