from __future__ import annotations

import pytest
import torch

from graphcl.errors import InputError
from graphcl.evaluation import quick_clusters


def test_groups_that_stand_apart_are_told_apart_and_the_same_seed_finds_the_same():
    numbers = torch.Generator().manual_seed(0)
    group = torch.arange(100) % 10
    rows = (5.0 * torch.eye(10)[group] + 0.01 * torch.randn(100, 10, generator=numbers)).requires_grad_()
    clusters, count = quick_clusters(rows, seed=1)
    assert count == 10
    assert clusters.shape == (100,)
    assert all(len(clusters[group == g].unique()) == 1 for g in range(10))
    assert torch.equal(clusters, quick_clusters(rows, seed=1)[0])


def test_embeddings_that_diverged_are_told():
    rows = torch.ones(9, 2)
    rows[3, 1] = torch.nan
    with pytest.raises(InputError, match="training diverged"):
        quick_clusters(rows, seed=0)
