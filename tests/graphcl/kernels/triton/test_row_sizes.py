import pytest

from graphcl.kernels.triton.row_sizes import LONGEST, TILE, dot_sizes, longest_stretch, row_sizes


@pytest.mark.parametrize("dim", [1, 3, 16, 64, 100, 128, 500])
@pytest.mark.parametrize("mean", [0.0, 1.5, 10.0, 1e6])
def test_tiles_are_powers_of_two_that_stay_in_registers(dim, mean):
    for sizes in (row_sizes(dim, mean), dot_sizes(dim)):
        assert sizes.entries & (sizes.entries - 1) == 0
        assert sizes.width & (sizes.width - 1) == 0
        assert sizes.entries * sizes.width <= TILE * sizes.warps
    assert row_sizes(dim, mean).width >= min(dim, 128)


def test_short_rows_get_few_lanes():
    assert row_sizes(64, 3.0).entries == 4
    assert row_sizes(64, 1000.0).entries == 16


def test_narrow_rows_are_cut_later():
    assert longest_stretch(1) == 4096
    assert longest_stretch(64) == longest_stretch(500) == LONGEST
