from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data


class Regression(nn.Module):
    """A line with dropout fitted to the first feature; its steps can be told to go wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(3, 1)
        self.drop = nn.Dropout(0.5)
        self.before_step: Callable[[], None] = lambda: None

    def training_step(self, batch: Data) -> dict[str, Tensor]:
        self.before_step()
        fit = (self.line(self.drop(batch.x)).squeeze(1) - batch.x[:, 0]).square().mean()
        size = self.line.weight.square().sum()
        return {"loss": fit + 0.1 * size, "fit": fit.detach(), "size": size.detach()}


@pytest.fixture
def make_system() -> Callable[[], Regression]:
    def make() -> Regression:
        torch.manual_seed(0)
        return Regression()

    return make


@pytest.fixture
def points() -> Data:
    return Data(
        x=torch.randn(11, 3, generator=torch.Generator().manual_seed(1)), edge_index=torch.zeros(2, 0, dtype=torch.long)
    )
