import math

import pytest
import torch

from graphcl.augment.diffusion import Diffusion
from graphcl.errors import InputError
from graphcl.kernels import Adjacency


def graph(n=15, normalize="sym"):
    numbers = torch.Generator().manual_seed(0)
    near = (torch.rand(n, n, generator=numbers) < 0.2).triu(1)
    near[:, -1] = False
    edges = near.nonzero().T
    weight = torch.ones(2 * edges.size(1), dtype=torch.float64)
    return Adjacency.from_edge_index(torch.cat([edges, edges.flip(0)], 1), n, edge_weight=weight, normalize=normalize)


def exact(kind, a, strength):
    eye = torch.eye(len(a), dtype=torch.float64)
    if kind == "ppr":
        return strength * torch.linalg.inv(eye - (1 - strength) * a)
    return torch.linalg.matrix_exp(-strength * (eye - a))


CASES = [("ppr", 0.2), ("ppr", 0.7), ("ppr", 1.0), ("heat", 0.0), ("heat", 1.0), ("heat", 5.0)]


def made(kind, strength, tolerance):
    return Diffusion(kind, tolerance=tolerance, **{"alpha" if kind == "ppr" else "time": strength})


@pytest.mark.parametrize(("kind", "strength"), CASES)
@pytest.mark.parametrize("tolerance", [0.03, 1e-3, 1e-8])
@pytest.mark.parametrize("normalize", ["sym", "row"])
def test_the_error_stays_below_the_tolerance(kind, strength, tolerance, normalize):
    adj = graph(normalize=normalize)
    eye = torch.eye(15, dtype=torch.float64)
    error = made(kind, strength, tolerance)(adj, eye) - exact(kind, adj.to_dense(), strength)
    norm = torch.linalg.matrix_norm(error, 2 if normalize == "sym" else torch.inf)
    assert float(norm) <= tolerance * (1 + 1e-9)


def test_a_small_tolerance_gives_the_dense_matrix_and_its_gradient():
    adj, x = graph(), torch.randn(15, 3, dtype=torch.float64, requires_grad=True)
    for kind, strength in CASES:
        want = exact(kind, adj.to_dense(), strength) @ x
        got = made(kind, strength, 1e-12)(adj, x)
        torch.testing.assert_close(got, want)
        torch.testing.assert_close(*(torch.autograd.grad(y.square().sum(), x)[0] for y in (got, want)))


def test_the_series_ends_at_the_first_hop_that_serves():
    for tolerance in (0.5, 0.03, 1e-3):
        weights = Diffusion(alpha=0.2, tolerance=tolerance).weights
        assert len(weights) == max(1, math.ceil(math.log(tolerance) / math.log(0.8)))
        assert 1 - sum(weights) <= tolerance < 1 - sum(weights[:-1])
    assert Diffusion("heat", time=0.0).weights == [1.0]


def test_what_is_out_of_range_is_refused():
    with pytest.raises(InputError, match="unknown diffusion 'pagerank'"):
        Diffusion("pagerank")
    with pytest.raises(InputError, match=r"alpha must lie in \(0, 1\].* got 0"):
        Diffusion(alpha=0.0)
    with pytest.raises(InputError, match="time must be finite and >= 0; got -1"):
        Diffusion("heat", time=-1.0)
    with pytest.raises(InputError, match=r"tolerance must lie in \(0, 1\).* got 0"):
        Diffusion(tolerance=0.0)
    with pytest.raises(InputError, match=r"alpha=1e-05, tolerance=0.001\) would take more than 10000 hops"):
        Diffusion(alpha=1e-5)
