import pytest
import torch

from graphcl.kernels import Rule
from graphcl.kernels.triton.selection import Selection
from graphcl.kernels.triton.sizes import Sizes

CPU = torch.device("cpu")
SMALL = Sizes(4, 2, 16, 16, 4, 2)


def arguments(n, m, rule, *, ids=None, columns=False, sizes=SMALL):
    return Selection(n, m, ids, rule, None, CPU).arguments(columns, sizes)[0]


@pytest.mark.parametrize("far", [1, 10**6, 2**40, 2**62])
def test_ids_of_any_size_keep_their_equalities_in_32_bits(far):
    left, right = torch.tensor([0, 1, 2, -1]) * far, torch.tensor([2, 0, 5, 2, -1]) * far
    found = arguments(4, 5, Rule(different=(left, right)))
    assert found["own_ids"].dtype == torch.int32
    assert torch.equal(found["own_ids"] == found["other_ids"].T, left[:, None] == right)


def test_parts_are_columns_first_those_that_set_apart_then_those_that_join_then_clusterings():
    exclude, names = torch.tensor([7, 9]), torch.tensor([7, 8, 9])
    pair, classes = (torch.tensor([1, 2]), torch.tensor([2, 1, 1])), (torch.tensor([[0, 5], [1, 5]]), torch.ones(3, 2).long())
    found = arguments(2, 3, Rule(exclude=exclude, different=pair, same=pair, clusters=classes), ids=names)
    assert (found["APART"], found["SAME"], found["CLUSTERS"]) == (2, 1, 2)
    equal = found["own_ids"][:, None] == found["other_ids"]
    want = [pair[0][:, None] == pair[1], exclude[:, None] == names, pair[0][:, None] == pair[1]]
    want += [classes[0][:, None, c] == classes[1][:, c] for c in range(2)]
    assert torch.equal(equal, torch.stack(want, 2))


def test_seen_from_columns_the_two_sides_change_places():
    rule = Rule(exclude=torch.tensor([2, 0, 1]))
    rows, columns = (arguments(3, 4, rule, columns=side) for side in (False, True))
    assert torch.equal(rows["own_ids"], columns["other_ids"])
    assert (columns["num_own"], columns["num_other"]) == (4, 3)


@pytest.mark.parametrize("columns", [False, True])
def test_pointers_into_listed_pairs_divide_each_list_at_the_parts(columns):
    torch.manual_seed(0)
    n, m = 9, 31
    mask = torch.rand(n, m) < 0.3
    row, col = mask.nonzero(as_tuple=True)
    shuffled = torch.randperm(len(row))  # lists need not be sorted
    order = shuffled[torch.argsort(row[shuffled], stable=True)]
    rule = Rule(seen=(torch.cat([torch.zeros(1, dtype=torch.int64), mask.sum(1).cumsum(0)]), col[order]))
    found = arguments(n, m, rule, columns=columns)
    mask = mask.T if columns else mask
    length = found["length"]
    assert len(found["seen_pointers"]) > 2 or columns
    for part, (begin, end) in enumerate(zip(found["seen_pointers"][:-1], found["seen_pointers"][1:], strict=True)):
        for own in range(mask.shape[0]):
            want = [j for j in mask[own].nonzero().flatten().tolist() if part * length <= j < (part + 1) * length]
            assert found["seen"][begin[own] : end[own]].tolist() == want
