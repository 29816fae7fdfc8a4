from __future__ import annotations

import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels import Blocks, Columns, Rule, pair_lse
from graphcl.kernels.pair_ranks import pair_lse_ranks
from graphcl.kernels.ranks import Ranks

F64 = torch.float64
N, M, D = 11, 14, 5
CASES = ("plain", "bias", "scales", "exclude", "names", "same", "different", "clusters", "seen", "far", "both", "both-all")


def everything(case):
    """What one process would hold: anchors, candidates, bias, scale, ids, rule and the gradients that come in."""
    torch.manual_seed(len(case))
    a, z = torch.randn(N, D, dtype=F64), torch.randn(M, D, dtype=F64)
    bias = torch.randn(M, dtype=F64) if case in ("bias", "both-all", "far") else None
    scale = torch.rand(N, dtype=F64) + 0.5 if case == "scales" else torch.tensor([0.8], dtype=F64)
    if case == "far":  # sums that need a shift, and one row far below the others
        a = a * 40
    labels = torch.randint(3, (N,)), torch.randint(3, (M,))
    ids = torch.arange(M) * 3 + 5 if case in ("names", "both-all") else None
    rule = Rule()
    if case in ("exclude", "both"):
        rule = Rule(exclude=torch.arange(N))  # by position; every rank has a candidate for each of its anchors
    elif case in ("names", "both-all"):
        rule = Rule(exclude=(torch.arange(N).flip(0) * 3 + 5), different=(labels if case == "both-all" else None))
    elif case == "same":  # the last anchor has nobody
        rule = Rule(same=(labels[0].index_fill(0, torch.tensor([N - 1]), 7), labels[1]))
    elif case == "different":
        rule = Rule(different=labels)
    elif case == "clusters":
        rule = Rule(clusters=(torch.randint(3, (N, 2)), torch.randint(3, (M, 2))))
    elif case == "seen":
        mask = torch.rand(N, M) < 0.3
        rule = Rule(seen=(torch.cat([torch.zeros(1, dtype=torch.int64), mask.sum(1).cumsum(0)]), mask.nonzero()[:, 1]))
    return a, z, bias, scale, ids, rule, torch.randn(N, dtype=F64), torch.randn(M, dtype=F64)


def shares(size):
    """Rows of anchors and candidates of each rank, of different numbers."""
    rows, columns = ([4, 7], [5, 9]) if size == 2 else ([2, 6, 3], [3, 7, 4])
    return list(zip(torch.split(torch.arange(N), rows), torch.split(torch.arange(M), columns), strict=True))


def part(case, rows, columns):
    a, z, bias, scale, ids, rule, row_grad, column_grad = everything(case)
    seen = rule.seen
    if seen is not None:
        start, stop = int(rows[0]), int(rows[-1]) + 1
        crow = seen[0][start : stop + 1]
        seen = crow - crow[0], seen[1][int(crow[0]) : int(crow[-1])]
    exclude = None if rule.exclude is None else rule.exclude[rows]
    if case in ("exclude", "both"):
        exclude = torch.arange(len(rows))

    def pair(ids):
        return None if ids is None else (ids[0][rows], ids[1][columns])

    rule = Rule(exclude, pair(rule.same), pair(rule.different), pair(rule.clusters), seen)
    leaves = [
        a[rows], z[columns], None if bias is None else bias[columns], scale[rows] if len(scale) == N else scale
    ]  # fmt: skip
    leaves = [None if leaf is None else leaf.clone().requires_grad_() for leaf in leaves]
    return leaves, None if ids is None else ids[columns], rule, row_grad[rows], column_grad[columns]


def results(leaves, out, grads):
    inputs = [leaf for leaf in leaves if leaf is not None]
    return [value.detach() for value in out], torch.autograd.grad(out, inputs, grads)


def sweep_all():
    ranks = Ranks.of()
    found = {}
    for case in CASES:
        for sweep in ("ring", "gather"):
            rows, columns = shares(ranks.size)[ranks.rank]
            leaves, ids, rule, row_grad, column_grad = part(case, rows, columns)
            a, z, bias, scale = leaves
            both = case.startswith("both")
            out = pair_lse_ranks(
                a, Columns(z, bias, ids), scale=scale, rule=rule, both=both, ranks=ranks, sweep=sweep
            )  # fmt: skip
            out, grads = (list(out), [row_grad, column_grad]) if both else ([out], [row_grad])
            found[case, sweep] = results(leaves, out, grads)
    # A set against itself, its own row left out by position: anchors and candidates are one leaf.
    z = everything("plain")[1][shares(ranks.size)[ranks.rank][1]].clone().requires_grad_()
    out = pair_lse_ranks(z, Columns(z), scale=0.7, rule=Rule(exclude=torch.arange(len(z))), ranks=ranks)
    found["itself"] = results([z], [out], [torch.arange(len(z), dtype=F64)])
    half = everything("plain")[1][shares(ranks.size)[ranks.rank][1]].bfloat16().requires_grad_()
    out = pair_lse_ranks(half, Columns(half), scale=1.0, ranks=ranks)
    out.sum().backward()
    found["half"] = out.dtype, half.grad.dtype
    wide = torch.zeros(3, 2 + ranks.rank, dtype=F64)
    for name, columns in (("widths", Columns(wide)), ("none", Columns(wide[:, :2][: ranks.rank]))):
        try:
            pair_lse_ranks(columns.z if name == "widths" else wide[:, :2], columns, scale=1.0, ranks=ranks)
        except InputError as error:
            found[name] = str(error)
    return found


@pytest.fixture(scope="module", params=[2, 3])
def found(request, on_ranks):
    return on_ranks(__file__, "sweep_all", request.param)


@pytest.mark.parametrize("sweep", ["ring", "gather"])
@pytest.mark.parametrize("case", CASES)
def test_sums_and_every_gradient_are_those_of_one_process(found, case, sweep):
    a, z, bias, scale, ids, rule, row_grad, column_grad = everything(case)
    if case in ("exclude", "both"):  # each rank's anchor i leaves out its candidate i
        pairs = shares(len(found))
        rule = Rule(exclude=torch.cat([columns[: len(rows)] for rows, columns in pairs]))
    leaves = [None if leaf is None else leaf.clone().requires_grad_() for leaf in (a, z, bias, scale)]
    both = case.startswith("both")
    out = pair_lse(leaves[0], Columns(leaves[1], leaves[2], ids), scale=leaves[3], rule=rule, both=both)
    out, grads = (list(out), [row_grad, column_grad]) if both else ([out], [row_grad])
    values, gradients = results(leaves, out, grads)
    for at, want in enumerate(values):
        torch.testing.assert_close(torch.cat([one[case, sweep][0][at] for one in found]), want, rtol=1e-11, atol=1e-12)
    theirs = [one[case, sweep][1] for one in found]
    for at, want in enumerate(gradients):
        mine = [grads[at] for grads in theirs]
        got = sum(mine) if want.shape == (1,) else torch.cat(mine)  # one scale for all is a parameter: its parts add up
        torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-12)


def test_a_set_meets_itself_round_the_ring(found):
    z = everything("plain")[1].clone().requires_grad_()
    out = pair_lse(z, Columns(z), scale=0.7, rule=Rule(exclude=torch.arange(M)))
    grad = torch.cat([torch.arange(len(columns), dtype=F64) for _, columns in shares(len(found))])
    (want,) = torch.autograd.grad(out, z, grad)
    torch.testing.assert_close(torch.cat([one["itself"][0][0] for one in found]), out.detach())
    torch.testing.assert_close(torch.cat([one["itself"][1][0] for one in found]), want)


def test_half_precision_is_computed_with_in_single(found):
    assert [one["half"] for one in found] == [(torch.float32, torch.bfloat16)] * len(found)


def test_what_does_not_fit_together_is_refused_on_every_rank_alike(found):
    for one in found:
        assert "all ranks must hold rows of one shape and type; rank 0 has 2 dimensions, 2 numbers a row" in one["widths"]
        assert "rank 0 has none" in one["none"]


def test_blocks_and_unknown_sweeps_are_refused():
    z, ranks = torch.zeros(2, 2), Ranks(0, 1)
    blocks = Blocks(torch.tensor([0, 1]), torch.tensor([0]), torch.tensor([0, 2]))
    with pytest.raises(InputError, match="blocks speak of the candidates of one rank"):
        pair_lse_ranks(z, Columns(z, blocks=blocks), scale=1.0, ranks=ranks)
    with pytest.raises(InputError, match="unknown sweep 'rings'; did you mean ring"):
        pair_lse_ranks(z, Columns(z), scale=1.0, ranks=ranks, sweep="rings")
