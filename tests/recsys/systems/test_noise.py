from __future__ import annotations

import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.systems.noise import noise_like, noisy_layers
from graphcl.recsys.systems.simgcl import SimGCL
from graphcl.recsys.systems.system import mean_of
from graphcl.recsys.systems.xsimgcl import XSimGCL


@pytest.mark.parametrize("dim", [1, 2, 16])
def test_noise_has_its_length_and_the_signs_of_the_row(dim):
    rows = torch.randn(50, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    noise = noise_like(rows, 0.3)
    torch.testing.assert_close(noise.norm(dim=1), torch.full((50,), 0.3, dtype=torch.float64))
    assert torch.equal(noise.sign(), rows.sign())
    assert not noise.requires_grad
    assert not torch.equal(noise, noise_like(rows, 0.3))


def test_a_row_of_zeros_stays_one_and_nothing_moves_without_a_length():
    assert (noise_like(torch.zeros(3, 4), 0.5) == 0).all()
    assert (noise_like(torch.randn(3, 4), 0.0) == 0).all()


def test_each_layer_is_shaken_and_passed_on(graph, operator):
    torch.manual_seed(0)
    users, items = torch.randn(20, 6, dtype=torch.float64), torch.randn(15, 6, dtype=torch.float64)
    before = torch.cat([users, items])
    reached = torch.ones(35, dtype=torch.float64)
    reached[4] = reached[27] = 0.0  # they have no neighbours
    for layer in noisy_layers(graph, users, items, 3, 0.2):
        after = torch.cat(layer)
        torch.testing.assert_close((after - operator @ before).norm(dim=1), 0.2 * reached)
        before = after


def test_without_noise_the_mean_is_that_of_the_layers_from_1_on(graph, operator):
    users, items = torch.randn(20, 6, dtype=torch.float64), torch.randn(15, 6, dtype=torch.float64)
    got = torch.cat(mean_of(noisy_layers(graph, users, items, 3, 0.0)))
    start = torch.cat([users, items])
    want = sum(torch.linalg.matrix_power(operator, hop) @ start for hop in (1, 2, 3)) / 3
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize("cls", [SimGCL, XSimGCL])
def test_what_ranks_leaves_layer_0_out(cls, graph, operator):
    system = cls(graph, dim=5, layers=3).double()
    start = torch.cat([system.user_table, system.item_table])
    want = sum(torch.linalg.matrix_power(operator, hop) @ start for hop in (1, 2, 3)) / 3
    torch.testing.assert_close(torch.cat(system.embeddings()), want)


@pytest.mark.parametrize("cls", [SimGCL, XSimGCL])
def test_clusters_are_looked_for_only_where_there_is_a_contrast_on_some(cls, graph):
    asked = cls(graph, dim=5, negatives="meta-node").double()
    asked.on_epoch_start(0, None)
    assert asked.user_side._clusters.shape == (20,)
    assert asked.item_side._clusters.shape == (15,)
    for other in (cls(graph, dim=5, negatives="meta-node", contrast=0.0), cls(graph, dim=5)):
        other.on_epoch_start(0, None)
        assert other.user_side._clusters is None


@pytest.mark.parametrize("cls", [SimGCL, XSimGCL])
def test_what_is_out_of_range_is_told(cls, graph):
    with pytest.raises(InputError, match="layers must be >= 1, since layer 0 is left out"):
        cls(graph, layers=0)
    for name in ("penalty", "contrast"):
        with pytest.raises(InputError, match=f"{name} must be a finite number >= 0"):
            cls(graph, **{name: -0.1})
    for wrong in (-0.1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="eps must be >= 0, the length of the noise"):
            cls(graph, eps=wrong)
    with pytest.raises(InputError, match="contrasts the rows of a batch"):
        cls(graph, loss="dcl", candidates="all")
