from __future__ import annotations

import numpy as np
import pytest
import torch

from graphcl.recsys.graph import Bipartite
from graphcl.recsys.ranking import Rows
from graphcl.recsys.sampling import Triples


@pytest.fixture
def make_graph():
    """The graph of a dense block of zeros and ones."""

    def make(block, dtype=torch.float64):
        indptr = np.concatenate([[0], np.cumsum(block.bool().sum(1).numpy())]).astype(np.int64)
        return Bipartite(Rows(indptr, block.nonzero()[:, 1].int().numpy(), *block.shape), dtype=dtype)

    return make


@pytest.fixture
def dense():
    """20 users, 15 items; user 4 and item 7 met nobody."""
    block = np.random.default_rng(0).random((20, 15)) < 0.3
    block[4], block[:, 7] = False, False
    return torch.from_numpy(block).double()


@pytest.fixture
def graph(dense, make_graph):
    return make_graph(dense)


@pytest.fixture
def operator(dense):
    """The symmetric operator of users and items, written out."""
    left, right = (torch.where(d > 0, d.clamp(min=1) ** -0.5, 0.0) for d in (dense.sum(1), dense.sum(0)))
    whole = torch.zeros(35, 35, dtype=torch.float64)
    whole[:20, 20:] = left[:, None] * dense * right
    return whole + whole.T


@pytest.fixture
def batch(dense):
    """Twelve triples, some users and items more than once."""
    generator = torch.Generator().manual_seed(0)
    user, positive = dense.nonzero()[torch.randint(int(dense.sum()), (12,), generator=generator)].unbind(1)
    return Triples(user, positive, torch.multinomial(1 - dense[user], 1, generator=generator).squeeze(1))
