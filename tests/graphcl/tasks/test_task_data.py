from __future__ import annotations

import numpy as np
import pytest
from torch_geometric.data import Data

from graphcl.errors import InputError
from graphcl.models import SYSTEMS
from graphcl.recsys import Split
from graphcl.recsys.sequences import SequenceSplit
from graphcl.tasks.task_data import PREFERRED, RECOMMENDATION, SEQUENTIAL, data_name, load_data


def test_a_set_of_one_name_in_two_domains_is_what_the_task_takes():
    assert isinstance(load_data("clustering", "davis"), Data)
    assert isinstance(load_data("recommendation", "davis"), Split)


def test_every_task_knows_where_its_data_are():
    assert {entry.task for entry in SYSTEMS.values()} == {*PREFERRED, RECOMMENDATION, SEQUENTIAL}


def test_the_name_is_the_one_that_recipes_use(tmp_path):
    folder = tmp_path / "citation" / "mine"
    folder.mkdir(parents=True)
    np.savez(folder / "data.npz", edge_index=np.array([[0, 1], [1, 0]]), x=np.eye(2, dtype=np.float32))
    graph = load_data("node", "mine", tmp_path)
    assert data_name(graph) == "citation/mine"
    assert data_name(load_data("node", data_name(graph), tmp_path)) == "citation/mine"
    assert data_name(load_data("recommendation", "davis")) == "davis"


def test_data_of_another_task_are_told_apart_from_a_typo():
    with pytest.raises(InputError, match="data set 'digits' is a graph, and a recommendation system takes interactions"):
        load_data("recommendation", "digits")
    with pytest.raises(InputError, match="unknown data set 'digitss'"):
        load_data("recommendation", "digitss")
    with pytest.raises(InputError, match="data set 'digits' is a graph, and a sequential system takes interactions"):
        load_data("sequential", "digits")
    with pytest.raises(InputError, match="davis: expected events in order of time, got pairs without times"):
        load_data("sequential", "davis")


def test_a_folder_of_sequences_is_pairs_or_sequences_by_the_task(tmp_path):
    folder = tmp_path / "recsys" / "mine"
    (folder / "raw").mkdir(parents=True)
    (folder / "raw" / "mine.txt").write_text("1 3 1 2 3\n2 1 2 1 3\n")
    split, sequences = load_data("recommendation", "mine", tmp_path), load_data("sequential", "mine", tmp_path)
    assert isinstance(split, Split)
    assert isinstance(sequences, SequenceSplit)
    assert data_name(split) == data_name(sequences) == "recsys/mine"


def test_interactions_are_no_graph(tmp_path):
    folder = tmp_path / "recsys" / "mine"
    folder.mkdir(parents=True)
    for part in ("train", "test"):
        (folder / f"{part}.npz").write_bytes(b"")
    with pytest.raises(InputError, match="data set 'mine' is interactions, and a clustering system takes a graph"):
        load_data("clustering", "mine", tmp_path)
