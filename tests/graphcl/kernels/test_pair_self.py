import pytest
import torch

from graphcl.kernels import Columns, Rule, pair_lse, pair_tiles
from graphcl.kernels.pair_reference import pair_logits_reference
from graphcl.kernels.pair_self import SelfLSE, mirrored

F64 = torch.float64
RULES = {
    "none": lambda n: Rule(),
    "itself": lambda n: Rule(exclude=torch.arange(n)),
    "same": lambda n: Rule(same=(ids := torch.arange(n) % 3, ids)),
    "different": lambda n: Rule(exclude=torch.arange(n), different=(ids := torch.arange(n) // 2, ids)),
    "clusters": lambda n: Rule(clusters=(ids := torch.stack([torch.arange(n) % 2, torch.arange(n) % 5], 1), ids)),
}


def rows(n, d, seed=0):
    torch.manual_seed(seed)
    return torch.randn(n, d, dtype=F64)


@pytest.mark.parametrize("kind", RULES)
@pytest.mark.parametrize("n", [2, 7, 67])
@pytest.mark.parametrize("scale", [0.7, 90.0])
@pytest.mark.parametrize(("least", "budget"), [(1, 1), (3, 1), (3, 300), (16, 2**12), (256, 2**25)])
def test_half_of_the_pairs_give_value_and_gradients_of_all(kind, n, scale, least, budget, monkeypatch):
    monkeypatch.setattr(pair_tiles, "MIN_ROWS", least)
    monkeypatch.setattr(pair_tiles, "TILE_BYTES", budget)
    z, factor = rows(n, 3).requires_grad_(), torch.tensor(scale, dtype=F64, requires_grad=True)
    rule, grad = RULES[kind](n), torch.randn(n, dtype=F64)
    assert mirrored(z, Columns(z), factor, rule)
    ours = pair_lse(z, Columns(z), scale=factor, rule=rule)
    logits = pair_logits_reference(z, Columns(z), scale=factor, rule=rule)
    kept = (logits > -torch.inf).any(1)
    torch.testing.assert_close(ours[kept], logits[kept].logsumexp(1))
    assert (ours[~kept] == -torch.inf).all()
    if kept.any():
        got = torch.autograd.grad(ours[kept], (z, factor), grad[kept])
        for one, other in zip(got, torch.autograd.grad(logits[kept].logsumexp(1), (z, factor), grad[kept]), strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", RULES)
def test_gradcheck_passes(kind, monkeypatch):
    monkeypatch.setattr(pair_tiles, "MIN_ROWS", 2)
    z, scale = rows(6, 3).requires_grad_(), torch.tensor([0.8], dtype=F64, requires_grad=True)
    rule = RULES[kind](6)
    assert torch.autograd.gradcheck(lambda z, scale: pair_lse(z, Columns(z), scale=scale, rule=rule), (z, scale))


def test_both_sides_are_one():
    z = rows(7, 3).requires_grad_()
    sums, columns = pair_lse(z, Columns(z), scale=2.0, both=True)
    torch.testing.assert_close(sums, columns)
    (ours,) = torch.autograd.grad((sums + 2 * columns).sum(), z)
    copy = z.detach().clone().requires_grad_()
    one, other = pair_lse(copy, Columns(copy.clone()), scale=2.0, both=True)
    torch.testing.assert_close(ours, torch.autograd.grad((one + 2 * other).sum(), copy)[0])


def test_what_tells_the_sides_apart_is_met_whole():
    z, ids = rows(5, 3), torch.arange(5)
    assert mirrored(z, Columns(z), 2.0, Rule(exclude=ids))
    apart = {
        "another tensor": (Columns(z.clone()), 2.0, Rule()),
        "a bias": (Columns(z, torch.zeros(5, dtype=F64)), 2.0, Rule()),
        "a scale a row": (Columns(z), torch.ones(5), Rule()),
        "another left out": (Columns(z), 2.0, Rule(exclude=ids.flip(0))),
        "names": (Columns(z, ids=ids), 2.0, Rule(exclude=ids)),
        "two vectors of ids": (Columns(z), 2.0, Rule(same=(ids, ids.flip(0)))),
        "listed pairs": (Columns(z), 2.0, Rule(seen=(torch.zeros(6, dtype=torch.int64), ids[:0]))),
    }
    for name, (columns, scale, rule) in apart.items():
        assert not mirrored(z, columns, scale, rule), name


def test_half_precision_is_single_precision_of_the_rounded_rows():
    z = torch.nn.functional.normalize(rows(300, 8), dim=1).bfloat16()
    out = pair_lse(z, Columns(z), scale=2.0)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, pair_lse(z.float(), Columns(z.float()), scale=2.0), rtol=0, atol=1e-5)


def test_fewer_than_two_thirds_of_the_pairs_are_met(monkeypatch):
    met, product = [0], pair_tiles.PairTiles.product

    def counted(self, rows, columns):
        met[0] += (rows.stop - rows.start) * (columns.stop - columns.start)
        return product(self, rows, columns)

    monkeypatch.setattr(pair_tiles.PairTiles, "product", counted)
    z = rows(2708, 2).float()
    SelfLSE.apply(z, torch.ones(1), Rule(), False)
    assert met[0] < 0.6 * 2708**2
