from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch_geometric.data import Data


@pytest.fixture
def graph() -> Callable[..., Data]:
    """A ring with chords and a listed loop, nodes ``n - 2`` and ``n - 1`` isolated, edges in no order."""

    def make(n: int = 13, f: int = 5, *, weighted: bool = False, sparse: bool = False, directed: bool = False) -> Data:
        numbers = torch.Generator().manual_seed(n + f)
        m = n - 2
        pairs = torch.tensor([[i, (i + 1) % m] for i in range(m)] + [[0, 2], [1, 5]]).T
        weight = torch.rand(pairs.size(1), generator=numbers) + 0.1
        if not directed:
            pairs, weight = torch.cat([pairs, pairs.flip(0)], 1), torch.cat([weight, weight])
        pairs, weight = torch.cat([pairs, torch.tensor([[3], [3]])], 1), torch.cat([weight, torch.tensor([0.7])])
        order = torch.randperm(pairs.size(1), generator=numbers)
        x = torch.randn(n, f, generator=numbers).relu()
        data = Data(x=x.to_sparse_csr() if sparse else x, edge_index=pairs[:, order], y=torch.arange(n))
        if weighted:
            data.edge_weight = weight[order]
        return data

    return make
