"""Losses of two views by name."""

from __future__ import annotations

import pytest
import torch

from graphcl.errors import InputError
from graphcl.losses import TWO_VIEWS, InfoNCE, two_view_loss
from graphcl.negatives import Exact, HardTopK


@pytest.mark.parametrize("name", TWO_VIEWS)
def test_every_name_is_a_loss_of_two_views_with_a_gradient(name):
    generator = torch.Generator().manual_seed(1)
    z1, z2 = (torch.randn(24, 6, generator=generator, requires_grad=True) for _ in range(2))
    loss = two_view_loss(name, 0.3)(z1, z2)
    loss.backward()
    assert loss.ndim == 0
    assert torch.isfinite(loss)
    assert torch.isfinite(z1.grad).all()
    assert (z1.grad != 0).any()


def test_temperature_and_estimator_reach_the_loss():
    z1, z2 = torch.randn(12, 6), torch.randn(12, 6)
    assert torch.equal(two_view_loss("info-nce", 0.2)(z1, z2), InfoNCE(0.2)(z1, z2))
    hard = two_view_loss("info-nce", 0.2, HardTopK(3))(z1, z2)
    assert torch.equal(hard, InfoNCE(0.2, negatives=HardTopK(3))(z1, z2))
    assert hard < two_view_loss("info-nce", 0.2)(z1, z2)


def test_what_does_not_go_together_is_told():
    with pytest.raises(InputError, match="unknown loss of two views 'infonce'"):
        two_view_loss("infonce", 0.2)
    with pytest.raises(InputError, match=r"'barlow-twins' takes no estimator of negatives.*info-nce"):
        two_view_loss("barlow-twins", 0.2, Exact())
