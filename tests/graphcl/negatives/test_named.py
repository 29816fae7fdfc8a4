"""Estimators by name."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels import Rule
from graphcl.negatives import CLUSTERED, NegativesName, named_negatives
from graphcl.negatives.named import _PLAIN


def test_every_name_makes_an_estimator_near_the_exact_one():
    generator = torch.Generator().manual_seed(0)
    centres = torch.nn.functional.normalize(torch.randn(4, 8, generator=generator), dim=1)
    clusters = torch.arange(60) % 4
    z = torch.nn.functional.normalize(centres[clusters] + 0.05 * torch.randn(60, 8, generator=generator), dim=1)
    exact = named_negatives("exact").log_z(z, z, scale=2.0, rule=Rule())
    for name in get_args(NegativesName):
        torch.manual_seed(0)
        found = named_negatives(name, clusters, 4).log_z(z, z, scale=2.0, rule=Rule(exclude=torch.arange(60)))
        assert torch.isfinite(found).all()
        if name in ("exact-bf16", "sampled", *CLUSTERED):  # what estimates the sum itself, and not another one
            assert torch.allclose(found, exact, atol=0.3), name


def test_names_are_split_into_those_that_need_clusters_and_the_others():
    assert set(_PLAIN) | set(CLUSTERED) == set(get_args(NegativesName))
    assert not set(_PLAIN) & set(CLUSTERED)


def test_an_unknown_name_and_missing_clusters_are_told():
    with pytest.raises(InputError, match="unknown estimator of negatives 'meta'"):
        named_negatives("meta")
    with pytest.raises(InputError, match="stand on clusters"):
        named_negatives("hybrid")
