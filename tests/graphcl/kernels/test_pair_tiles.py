import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels import Rule, pair_tiles
from graphcl.kernels.pair_tiles import PairTiles, working_type


def tiles(n, m, rule=None, ids=None, dtype=torch.float32, **options):
    return PairTiles(torch.ones(n, 1, dtype=dtype), torch.ones(m, 1, dtype=dtype), ids, rule or Rule(), **options)


def test_a_block_fills_its_bytes_with_rows_while_all_columns_fit():
    assert (tiles(100_000, 1024).rows, tiles(100_000, 1024).columns) == (1024, 1024)
    assert (tiles(10, 1024).rows, tiles(10, 1024).columns) == (10, 1024)


def test_columns_are_cut_into_level_parts_where_256_rows_of_all_do_not_fit():
    wide = tiles(300, 100_000)
    assert (wide.rows, wide.columns) == (256, 4000)
    few = tiles(3, 10_000_000)
    assert few.rows == 3
    assert 3 * few.columns * 4 <= pair_tiles.TILE_BYTES


@pytest.mark.parametrize("spare", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weighted", [False, True])
def test_everything_of_the_size_of_a_block_stays_within_the_budget(spare, dtype, weighted):
    ids = torch.zeros(50_000, 2, dtype=torch.int64)
    rule = Rule(clusters=(ids[:300], ids)) if weighted else Rule(same=(ids[:300, 0], ids[:, 0]))
    made = tiles(300, 50_000, rule, dtype=dtype, spare=spare)
    total = sum(space.untyped_storage().nbytes() for space in made._rooms)
    assert 0.7 * pair_tiles.TILE_BYTES < total <= pair_tiles.TILE_BYTES


def test_the_blocks_meet_each_pair_once(monkeypatch):
    monkeypatch.setattr(pair_tiles, "TILE_BYTES", 100)
    monkeypatch.setattr(pair_tiles, "MIN_ROWS", 3)
    met = torch.zeros(8, 19)
    for rows, columns in tiles(8, 19):
        met[rows, columns] += 1
    assert torch.equal(met, torch.ones(8, 19))


def test_what_is_listed_twice_or_under_no_column_is_left_out_once_or_not():
    made = tiles(2, 3, Rule(exclude=torch.tensor([1, -1]), seen=(torch.tensor([0, 3, 3]), torch.tensor([0, 1, 0]))))
    tile = made.product(slice(0, 2), slice(0, 3))
    made.leave_out(tile, slice(0, 2), slice(0, 3), 0.0)
    assert tile.tolist() == [[0, 0, 1], [1, 1, 1]]


def test_half_types_are_computed_with_in_single_precision():
    kinds = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
    assert [working_type(kind) for kind in kinds] == [torch.float32] * 3 + [torch.float64]


@pytest.mark.parametrize("far", [0, 2**40])
def test_ids_compare_as_integers_do_however_far_apart(far, monkeypatch):
    left, right = torch.tensor([0, 1, far + 1, -far]), torch.tensor([1, far, far + 1, 0, -far])
    made = tiles(4, 5, Rule(different=(left, right)))
    for fill in (0.0, -torch.inf):
        tile = made.product(slice(0, 4), slice(0, 5))
        made.leave_out(tile, slice(0, 4), slice(0, 5), fill)
        assert torch.equal(tile, torch.ones(4, 5).masked_fill(left[:, None] == right, fill))
    monkeypatch.setattr(pair_tiles, "MAX_NAMES", 3)
    with pytest.raises(InputError, match="at most 3 different ids in single precision"):
        tiles(4, 5, Rule(different=(left, right + 5)))


def test_names_of_columns_go_with_other_parts_of_a_rule():
    ids = torch.tensor([3, 3, 5])
    made = tiles(2, 3, Rule(exclude=torch.tensor([3, 9]), same=(torch.tensor([1, 2]), torch.tensor([1, 2, 2]))), ids=ids)
    tile = made.product(slice(0, 2), slice(0, 3))
    made.leave_out(tile, slice(0, 2), slice(0, 3), 0.0)
    assert tile.tolist() == [[0, 0, 0], [0, 1, 1]]
