import pytest

from graphcl.kernels.triton.sizes import Sizes, forward_sizes, gradient_sizes, splits

WIDTHS = [1, 3, 16, 17, 40, 64, 65, 128, 200, 256, 257, 384, 512, 600, 1000, 1024, 1500]


def is_power_of_two(number):
    return number & (number - 1) == 0


@pytest.mark.parametrize("element_size", [2, 4])
@pytest.mark.parametrize("dim", WIDTHS)
def test_all_sides_are_powers_of_two_that_matrix_units_take(dim, element_size):
    for sizes in (forward_sizes(dim, element_size), gradient_sizes(dim, element_size)):
        assert all(is_power_of_two(side) for side in (sizes.own, sizes.other, sizes.step, sizes.warps))
        assert min(sizes.own, sizes.other, sizes.step) >= 16


@pytest.mark.parametrize("element_size", [2, 4])
@pytest.mark.parametrize("dim", WIDTHS)
def test_rows_that_are_held_whole_are_those_of_one_step_and_one_chunk(dim, element_size):
    sizes = gradient_sizes(dim, element_size)
    assert is_power_of_two(sizes.out)
    if dim <= sizes.step:  # the tile of the first product serves for the second
        assert sizes.out == sizes.step
    assert sizes.own * sizes.out <= 64 * 512  # in single precision half of the registers of a multiprocessor


@pytest.mark.parametrize("own", [0, 1, 100, 5000, 10**6])
@pytest.mark.parametrize("other", [0, 1, 63, 64, 65, 1000, 10**6])
def test_parts_cover_the_streamed_side_and_none_is_empty(own, other):
    sizes = Sizes(128, 64, 64, 64, 4, 2)
    parts, length = splits(own, other, sizes)
    assert length % 64 == 0
    assert (parts - 1) * length < max(other, 1) <= parts * length


def test_few_rows_cut_the_other_side_and_many_do_not():
    sizes = Sizes(128, 64, 64, 64, 4, 2)
    assert splits(100_000, 100_000, sizes)[0] == 1
    assert splits(100, 1_000_000, sizes)[0] > 200
    assert splits(100, 300, sizes)[0] == 1  # too little for two programs
