import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from graphcl.errors import InputError
from graphcl.evaluation import Split, node_splits, public_splits, random_splits


def graph(n, **more):
    return Data(edge_index=torch.zeros(2, 0, dtype=torch.long), num_nodes=n, y=torch.arange(n) % 3, **more)


def mask(n, *ids):
    flags = torch.zeros(n, dtype=torch.bool)
    flags[list(ids)] = True
    return flags


@pytest.mark.parametrize(("n", "train", "val"), [(10, 1, 1), (19, 1, 1), (30, 3, 3), (2708, 270, 270)])
def test_random_splits_share_no_node_cover_all_and_have_the_right_sizes(n, train, val):
    splits = random_splits(graph(n))
    assert [split.name for split in splits] == [f"seed {seed}" for seed in range(20)]
    for split in splits:
        assert (len(split.train), len(split.val), len(split.test)) == (train, val, n - train - val)
        assert np.array_equal(np.sort(np.concatenate([split.train, split.val, split.test])), np.arange(n))
        assert (split.protocol, split.of) == ("random 10/10/80", 20)


def test_random_splits_are_the_same_for_ever_and_differ_from_one_another():
    first = random_splits(graph(10), 2)
    # The permutation of ten numbers by seed 0 is 2 8 4 9 1 6 7 3 0 5.
    assert (first[0].train.tolist(), first[0].val.tolist(), first[0].test.tolist()) == ([2], [8], [0, 1, 3, 4, 5, 6, 7, 9])
    few, many = random_splits(graph(97), 2), random_splits(graph(97), 5)
    assert all(np.array_equal(a.test, b.test) for a, b in zip(few, many, strict=False))
    assert len({split.train.tobytes() for split in many}) == 5


def test_nodes_without_a_class_are_in_no_split():
    data = graph(40, unlabelled=mask(40, 5, 6), train_mask=mask(40, 0, 5, 7), val_mask=mask(40, 1), test_mask=mask(40, 2, 6))
    data.y[7] = -1
    for split in [*random_splits(data), *public_splits(data)]:
        assert not np.isin([5, 6, 7], np.concatenate([split.train, split.val, split.test])).any()
    assert len(random_splits(data, 1)[0].test) == 37 - 3 - 3


def test_other_shares_are_another_protocol():
    split = random_splits(graph(50), 1, train=0.2, val=0.3)[0]
    assert (split.protocol, len(split.train), len(split.val), len(split.test)) == ("random 20/30/50", 10, 15, 25)


def test_the_public_split_is_that_of_the_masks():
    (split,) = public_splits(graph(6, train_mask=mask(6, 4, 0), val_mask=mask(6, 1), test_mask=mask(6, 2, 5)))
    assert (split.train.tolist(), split.val.tolist(), split.test.tolist()) == ([0, 4], [1], [2, 5])
    assert (split.name, split.protocol, split.of) == ("public", "public", 1)


def test_masks_of_several_columns_are_as_many_splits_with_one_test_set():
    train = torch.stack([mask(6, 0), mask(6, 1), mask(6, 4)], 1)
    val = torch.stack([mask(6, 1), mask(6, 0), mask(6, 5)], 1)
    splits = public_splits(graph(6, train_mask=train, val_mask=val, test_mask=mask(6, 2, 3)))
    assert [split.name for split in splits] == ["public 0", "public 1", "public 2"]
    assert [split.train.tolist() for split in splits] == [[0], [1], [4]]
    assert [split.val.tolist() for split in splits] == [[1], [0], [5]]
    assert all(split.test.tolist() == [2, 3] and split.of == 3 for split in splits)


def test_a_protocol_goes_by_its_name_and_an_unknown_one_is_an_error():
    data = graph(30, train_mask=mask(30, 0), val_mask=mask(30, 1), test_mask=mask(30, 2))
    assert node_splits(data, "public")[0].train.tolist() == [0]
    assert len(node_splits(data, "random", 4)) == 4
    with pytest.raises(InputError, match="unknown split protocol 'randon'; did you mean random"):
        node_splits(data, "randon")


def test_parts_that_overlap_are_refused():
    with pytest.raises(InputError, match=r"must not share nodes; node 1 is listed twice \(1 such"):
        public_splits(graph(6, train_mask=mask(6, 0, 1), val_mask=mask(6, 1), test_mask=mask(6, 2)))


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], "train must be a non-empty vector"),
        ([0.5], "non-empty vector of node ids; got float64"),
        ([-1], "node ids start at 0; got -1"),
    ],
)
def test_parts_that_are_no_ids_are_refused(ids, message):
    with pytest.raises(InputError, match=message):
        Split("mine", "mine", 1, np.array(ids), np.array([1]), np.array([2]))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({}, r"no public split \(no train_mask, val_mask, test_mask\): use the random splits"),
        ({"val_mask": mask(6)}, "val must be a non-empty vector"),
        ({"val_mask": torch.tensor([1, 2])}, r"val_mask must be bool of shape \(6,\) or \(6, S\); got \(2,\) of torch.int64"),
        (
            {"train_mask": torch.ones(6, 3, dtype=torch.bool), "test_mask": torch.ones(6, 2, dtype=torch.bool)},
            "same number of columns; got train_mask 3, val_mask 1, test_mask 2",
        ),
    ],
)
def test_masks_that_are_no_split_are_refused(more, message):
    masks = {"train_mask": mask(6, 0), "val_mask": mask(6, 1), "test_mask": mask(6, 2)} if more else {}
    with pytest.raises(InputError, match=message):
        public_splits(graph(6, **{**masks, **more}))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "the data has no y"),
        (torch.zeros(6, 2, dtype=torch.long), r"got shape \(6, 2\) of torch.int64: splits and probes know no multi-label"),
        (torch.zeros(5, dtype=torch.long), r"each of the 6 nodes; got shape \(5,\)"),
        (torch.zeros(6), "of torch.float32"),
    ],
)
def test_labels_that_are_not_one_class_a_node_are_refused(y, message):
    with pytest.raises(InputError, match=message):
        random_splits(Data(edge_index=torch.zeros(2, 0, dtype=torch.long), num_nodes=6, y=y))


def test_counts_and_shares_out_of_range_are_refused():
    with pytest.raises(InputError, match="count must be 1 or more"):
        random_splits(graph(50), 0)
    with pytest.raises(InputError, match=r"leave something for test; got 0\.5 and 0\.5"):
        random_splits(graph(50), train=0.5, val=0.5)
    with pytest.raises(InputError, match="9 nodes with a class are too few"):
        random_splits(graph(9))
