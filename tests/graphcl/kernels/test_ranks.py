from __future__ import annotations

import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels.ranks import Ranks, all_lse, all_rows, all_sum, rank_mean, rows_of_ranks

F64 = torch.float64
LENGTHS = [3, 1, 4]
INDEX = [[7, 0, 0], [3], []]


def everything():
    torch.manual_seed(0)
    table = torch.randn(3, 5, dtype=F64)  # a row of it for each rank
    table[:, 2] = -torch.inf
    table[0, 3] = -torch.inf
    return torch.randn(sum(LENGTHS), 2, dtype=F64), table, torch.randn(3, sum(LENGTHS), 2, dtype=F64)


def talk():
    ranks, found = Ranks.of(), {}
    x, table, weights = everything()
    mine = torch.split(x, LENGTHS)[ranks.rank].clone().requires_grad_()
    rows = all_rows(mine, ranks)
    found["rows"] = rows.detach(), *torch.autograd.grad(rows, mine, weights[ranks.rank])
    found["integers"] = all_rows(torch.full((ranks.rank,), ranks.rank), ranks)
    part = table[ranks.rank].clone().requires_grad_()
    total = all_sum(part.masked_fill(part == -torch.inf, 0.0), ranks)
    found["sum"] = total.detach(), *torch.autograd.grad(total, part, torch.full((5,), ranks.rank + 1.0, dtype=F64))
    part = table[ranks.rank].clone().requires_grad_()
    total = all_lse(part[None], ranks)
    found["lse"] = total.detach(), *torch.autograd.grad(total, part, torch.full((5,), ranks.rank + 1.0, dtype=F64))
    index = torch.tensor(INDEX[ranks.rank], dtype=torch.int64)
    rows = rows_of_ranks(mine, index, ranks)
    found["fetched"] = rows.detach(), *torch.autograd.grad((rows * (ranks.rank + 1)).sum(), mine)
    value = mine.square().sum(1).mean()
    loss = rank_mean(value, len(mine), ranks)
    found["mean"] = loss.detach(), *torch.autograd.grad(loss, mine)
    try:
        rows_of_ranks(mine, torch.tensor([8]), ranks)
    except InputError as error:
        found["beyond"] = str(error)
    found["shares"] = ranks.share(8), ranks.share(2), ranks.peer(1), ranks.first
    return found


@pytest.fixture(scope="module")
def found(on_ranks):
    return on_ranks(__file__, "talk", 3)


def test_rows_come_in_the_order_of_the_ranks_and_their_gradients_go_home(found):
    x, _, weights = everything()
    for one in found:
        torch.testing.assert_close(one["rows"][0], x)
        assert one["integers"].tolist() == [1, 2, 2]
    torch.testing.assert_close(torch.cat([one["rows"][1] for one in found]), weights.sum(0))


def test_sums_and_their_gradients_are_added_up(found):
    _, table, _ = everything()
    want = table.masked_fill(table == -torch.inf, 0.0).sum(0)
    for one, row in zip(found, table, strict=True):
        torch.testing.assert_close(one["sum"][0], want)
        torch.testing.assert_close(one["sum"][1], 6.0 * (row > -torch.inf).to(F64))


def test_log_sums_leave_alone_what_nobody_has(found):
    _, table, _ = everything()
    for rank, one in enumerate(found):
        torch.testing.assert_close(one["lse"][0], table.logsumexp(0))
        share = torch.where(table.logsumexp(0) == -torch.inf, 0.0, (table - table.logsumexp(0)).exp())[rank]
        torch.testing.assert_close(one["lse"][1], 6 * share)


def test_rows_are_fetched_by_number_from_whoever_has_them(found):
    x, _, _ = everything()
    want = torch.zeros_like(x)
    for rank, (one, index) in enumerate(zip(found, INDEX, strict=True)):
        torch.testing.assert_close(one["fetched"][0], x[index])
        for number in index:
            want[number] += rank + 1
        assert "rows of all ranks are numbered 0 .. 7; got 8 .. 8" in one["beyond"]
    torch.testing.assert_close(torch.cat([one["fetched"][1] for one in found]), want)


def test_the_mean_over_ranks_is_that_of_all_rows_and_its_averaged_gradient_too(found):
    x = everything()[0].requires_grad_()
    want = x.square().sum(1).mean()
    (gradient,) = torch.autograd.grad(want, x)
    for one in found:
        torch.testing.assert_close(one["mean"][0], want.detach())
    torch.testing.assert_close(torch.cat([one["mean"][1] for one in found]) / 3, gradient)


def test_shares_differ_by_one_at_most(found):
    assert [one["shares"] for one in found] == [
        ((0, 3), (0, 1), 1, True), ((3, 3), (1, 1), 2, False), ((6, 2), (2, 0), 0, False),
    ]  # fmt: skip


def test_without_a_process_group_there_are_no_ranks():
    with pytest.raises(InputError, match="start the program by torchrun"):
        Ranks.of()
