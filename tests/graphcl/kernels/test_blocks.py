import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels.blocks import Blocks


def blocks(row_pointers=(0, 2, 2, 3), rows=(0, 4, 1), column_pointers=(0, 3, 3, 7)):
    return Blocks(torch.tensor(row_pointers), torch.tensor(rows, dtype=torch.int64), torch.tensor(column_pointers))


def test_blocks_that_fit_pass_whether_or_not_rows_fall_between_blocks():
    fitting = [
        (blocks(), 5, 7),
        (blocks((0, 3, 3, 3), (0, 1, 2)), 3, 7),
        (blocks((0, 0, 0, 3), (0, 1, 2)), 3, 7),
        (blocks((0, 1, 2, 3), (2, 2, 2)), 3, 8),
        (blocks((0, 0, 0, 0), ()), 0, 7),
        (blocks((0,), (), (0,)), 0, 7),
    ]
    for made, num_rows, num_columns in fitting:
        assert made.check(num_rows, num_columns) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": (0, 5, 1)}, r"rows in \[0, 5\); got 0 to 5"),
        ({"rows": (0, -1, 1)}, r"got -1 to 1"),
        ({"rows": (4, 0, 1)}, r"ascending, none listed twice"),
        ({"rows": (4, 4, 1)}, r"ascending, none listed twice"),
        ({"row_pointers": (0, 3, 2, 3)}, r"row_pointers of blocks must rise .* with a fall"),
        ({"row_pointers": (0, 1, 2, 2)}, r"from 0 to the number of listed rows \(3\); got 0 to 2"),
        ({"row_pointers": (1, 1, 2, 3)}, r"got 1 to 3"),
        ({"column_pointers": (0, 3, 3, 8)}, r"column_pointers of blocks must rise and stay in 0 .. 7; got 0 to 8"),
        ({"column_pointers": (-1, 3, 3, 7)}, r"got -1 to 7"),
        ({"column_pointers": (0, 3, 7)}, r"one entry more than there are blocks; got 4 and 3"),
    ],
)
def test_blocks_that_do_not_fit_are_named(change, message):
    with pytest.raises(InputError, match=message):
        blocks(**change).check(5, 7)


def test_other_types_are_named():
    good = blocks()
    with pytest.raises(InputError, match=r"rows of blocks must be one-dimensional int64; got \(3,\) of torch.float32"):
        Blocks(good.row_pointers, good.rows.float(), good.column_pointers).check(5, 7)
