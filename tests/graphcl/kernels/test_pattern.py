import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels.pattern import Pattern


def dense_pattern(n, m, seed=0, share=0.3):
    torch.manual_seed(seed)
    return torch.rand(n, m) < share


def pattern_of(mask):
    csr = mask.float().to_sparse_csr()
    return Pattern.from_csr(csr.crow_indices(), csr.col_indices(), mask.size(1))


@pytest.mark.parametrize(("n", "m"), [(1, 1), (7, 7), (7, 3), (3, 257), (5, 0)])
def test_the_transpose_lists_the_same_entries_by_column(n, m):
    mask = dense_pattern(n, m)
    pattern = pattern_of(mask)
    transpose = pattern.transpose
    mirrored = Pattern.from_csr(transpose.crow, transpose.col, n)
    want = mask.t().nonzero()
    assert torch.equal(torch.stack([mirrored.row, mirrored.col], dim=1).long(), want)
    assert torch.equal(pattern.row.index_select(0, transpose.order), mirrored.col)


def test_a_symmetric_pattern_is_its_own_transpose():
    mask = dense_pattern(31, 31)
    pattern = pattern_of(mask | mask.t())
    assert pattern.is_symmetric
    assert pattern.transpose.col is pattern.col
    assert not pattern_of(torch.ones(7, 7).triu().bool()).is_symmetric


def test_a_rectangle_is_never_symmetric():
    assert not Pattern.from_csr(torch.zeros(4, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), 5).is_symmetric


def test_indices_are_kept_in_32_bits():
    pattern = pattern_of(dense_pattern(7, 7))
    assert {pattern.crow.dtype, pattern.col.dtype, pattern.row.dtype, pattern.transpose.col.dtype} == {torch.int32}


def test_moving_to_the_same_device_changes_nothing_and_moving_away_keeps_what_is_known():
    mask = dense_pattern(7, 7)
    pattern = pattern_of(mask | mask.t())
    assert pattern.to("cpu") is pattern
    assert pattern.transpose.symmetric
    moved = pattern.to("meta")
    assert moved.device.type == "meta"
    assert moved.transpose.col is moved.col


@pytest.mark.parametrize(
    ("crow", "col", "message"),
    [
        (torch.tensor([0.0, 1.0]), torch.tensor([0]), "crow must be one-dimensional int32 or int64"),
        (torch.tensor([0, 1]), torch.tensor([[0]]), "col must be one-dimensional"),
        (torch.tensor([0, 2]), torch.tensor([0]), "rise from 0 to the number of columns listed \\(1\\)"),
        (torch.tensor([0, 2, 1, 2]), torch.tensor([0, 1]), "with a fall in between"),
        (torch.tensor([], dtype=torch.int64), torch.tensor([], dtype=torch.int64), "no pointers at all"),
        (torch.tensor([0, 1]), torch.tensor([2]), r"columns must be in \[0, 2\); got 2 to 2"),
        (torch.tensor([0, 1]), torch.tensor([-1]), r"got -1 to -1"),
    ],
)
def test_bad_pointers_and_columns_are_refused(crow, col, message):
    with pytest.raises(InputError, match=message):
        Pattern.from_csr(crow, col, 2)


def test_what_is_found_while_evaluating_serves_training():
    pattern = pattern_of(dense_pattern(7, 7))
    with torch.inference_mode():
        found = [pattern.row, *pattern.transpose[:3]]
    assert not any(tensor.is_inference() for tensor in found)
