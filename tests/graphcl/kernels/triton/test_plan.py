import pytest
import torch

from graphcl.kernels import Blocks
from graphcl.kernels.triton.plan import column_plan, row_plan


def random_blocks(n, m, num_blocks, seed):
    generator = torch.Generator().manual_seed(seed)
    cuts = torch.randint(m + 1, (num_blocks + 1,), generator=generator).sort().values
    listed = [torch.rand(n, generator=generator).lt(0.4).nonzero().squeeze(1) for _ in range(num_blocks)]
    pointers = torch.tensor([0, *(len(rows) for rows in listed)]).cumsum(0)
    return Blocks(pointers, torch.cat(listed), cuts), listed, cuts.tolist()


def pairs_of(blocks, listed, cuts):
    return sorted((int(i), j) for k, rows in enumerate(listed) for i in rows for j in range(cuts[k], cuts[k + 1]))


@pytest.mark.parametrize("height", [1, 4, 16])
@pytest.mark.parametrize("seed", range(4))
def test_tiles_of_rows_meet_exactly_the_listed_pairs(height, seed):
    n, m = 13, 29
    blocks, listed, cuts = random_blocks(n, m, 5, seed)
    plan = {name: part.tolist() for name, part in row_plan(blocks, n, height).items() if part is not None}
    assert sorted(plan["own_list"]) == list(range(n))
    met = []
    cursor = list(plan["member_pointers"][:-1])
    for tile in range(len(plan["tile_first"])):
        rows = plan["own_list"][plan["tile_first"][tile] : plan["tile_last"][tile]]
        assert len(rows) <= height
        for span in range(plan["span_pointers"][tile], plan["span_pointers"][tile + 1]):
            block = plan["spans"][span]
            for row in rows:
                end = plan["member_pointers"][row + 1]
                if cursor[row] < end and plan["members"][cursor[row]] == block:
                    cursor[row] += 1
                    met += [(row, j) for j in range(plan["span_first"][block], plan["span_last"][block])]
    assert cursor == plan["member_pointers"][1:]  # every cursor came to its end
    assert sorted(met) == pairs_of(blocks, listed, cuts)


@pytest.mark.parametrize("height", [1, 4, 16])
@pytest.mark.parametrize("seed", range(4))
def test_tiles_of_columns_meet_exactly_the_listed_pairs(height, seed):
    blocks, listed, cuts = random_blocks(13, 29, 5, seed)
    plan = {name: part.tolist() for name, part in column_plan(blocks, height).items() if part is not None}
    met, owned = [], []
    for tile in range(len(plan["tile_first"])):
        columns = range(plan["tile_first"][tile], plan["tile_last"][tile])
        assert 0 < len(columns) <= height
        owned += columns
        (block,) = plan["spans"][plan["span_pointers"][tile] : plan["span_pointers"][tile + 1]]
        rows = plan["other_list"][plan["span_first"][block] : plan["span_last"][block]]
        met += [(i, j) for j in columns for i in rows]
    assert len(owned) == len(set(owned))  # a column has one owner, so nothing is written twice
    assert sorted(met) == pairs_of(blocks, listed, cuts)


def test_rows_that_share_blocks_share_tiles():
    # Rows 0, 2, 4, ... list block 0 and the others block 1: in order of appearance each tile would meet both.
    even, odd = torch.arange(0, 64, 2), torch.arange(1, 64, 2)
    blocks = Blocks(torch.tensor([0, 32, 64]), torch.cat([even, odd]), torch.tensor([0, 10, 20]))
    assert row_plan(blocks, 64, 16)["spans"].tolist() == [0, 0, 1, 1]


def test_no_block_at_all_is_a_plan_of_nothing():
    nothing = torch.zeros(1, dtype=torch.int64)
    blocks = Blocks(nothing, nothing[:0], nothing)
    assert row_plan(blocks, 5, 4)["span_pointers"].tolist() == [0, 0, 0]
    assert len(column_plan(blocks, 4)["tile_first"]) == 0
