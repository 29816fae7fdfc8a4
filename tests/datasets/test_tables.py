import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from graphcl.datasets import Kept, from_tables
from graphcl.errors import InputError


def test_edges_alone_give_ids_in_order_of_first_appearance(csv):
    data = from_tables(csv("e.csv", "source,target\n007,b\nc,007\nb,007\nb,007\nd,d\n"))
    assert data.node_ids == ["007", "b", "c", "d"]
    assert data.edge_index.tolist() == [[0, 0, 1, 2], [1, 2, 0, 0]]
    assert data.kept == Kept(nodes=4, edges=2, duplicates=1, self_loops=1, isolated=1, reciprocal=1)
    assert data.provenance.counts["duplicates"] == 1
    assert data.provenance.source == "e.csv"
    assert data.x is None


def test_nodes_give_order_features_and_classes(csv):
    edges = csv("e.csv", "source,target\nb,a\na,zz\nb,c\n")
    nodes = csv("n.csv", "id,f,g,label\na,1,2,x\nb,3,4,y\nc,5,6,\nd,7,8,x\n")
    data = from_tables(edges, nodes)
    assert data.node_ids == ["a", "b", "c", "d"]
    assert data.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert data.x.tolist() == [[1, 2], [3, 4], [5, 6], [7, 8]]
    assert data.feature_names == ["f", "g"]
    assert data.y.tolist() == [0, 1, 0, 0]
    assert data.class_names == ["x", "y"]
    assert data.unlabelled.tolist() == [False, False, True, False]
    assert (data.kept.unknown, data.kept.isolated) == (1, 1)
    assert str(data.kept) == "4 nodes, 2 undirected edges; 1 edges to unknown nodes dropped, 1 isolated nodes"


def test_frames_and_archives_agree_with_text_and_are_left_alone(csv, tmp_path):
    edges = pl.DataFrame({"source": [1, 2], "target": [2, 3]})
    nodes = pl.DataFrame({"id": [1, 2, 3], "f": [0.5, 1.5, 2.5], "y": [0, 1, 1]})
    edges.write_csv(tmp_path / "e.csv")
    nodes.write_csv(tmp_path / "n.csv")
    np.savez(tmp_path / "e.npz", edge_index=np.array([[1, 2], [2, 3]]))
    np.savez(tmp_path / "n.npz", id=np.array([1, 2, 3]), x=np.array([[0.5], [1.5], [2.5]]), y=np.array([0, 1, 1]))
    want = from_tables(tmp_path / "e.csv", tmp_path / "n.csv")
    pandas = edges.to_pandas(), nodes.to_pandas()
    copies = [frame.copy() for frame in pandas]
    floats = pd.DataFrame({"source": [1.0, 2.0], "target": [2.0, 3.0]})
    for pair in ((edges, nodes), pandas, (tmp_path / "e.npz", tmp_path / "n.npz"), (floats, nodes)):
        data = from_tables(*pair)
        for key in ("edge_index", "x", "y"):
            assert torch.equal(data[key], want[key])
        assert data.node_ids == ["1", "2", "3"]
    assert all(frame.equals(copy) for frame, copy in zip(pandas, copies, strict=True))


def test_an_archive_of_features_needs_no_ids(tmp_path):
    np.savez(tmp_path / "e.npz", edge_index=np.array([[0], [2]]))
    np.savez(tmp_path / "n.npz", x=np.eye(3))
    assert from_tables(tmp_path / "e.npz", tmp_path / "n.npz").node_ids == ["0", "1", "2"]


def test_weights_are_summed_and_averaged(csv):
    data = from_tables(csv("e.csv", "source,target,weight\na,b,1\na,b,2\nb,a,5\nb,c,4\n"))
    assert data.edge_weight.tolist() == [4, 4, 4, 4]
    assert data.edge_weight.dtype == torch.float32


def test_edges_can_be_nearest_neighbours(csv):
    data = from_tables(None, csv("n.csv", "id,f\na,0\nb,1\nc,10\nd,11\n"), knn=1)
    assert data.edge_index.tolist() == [[0, 1, 2, 3], [1, 0, 3, 2]]
    assert data.kept.edges == 2
    with pytest.raises(InputError, match="expected numeric columns"):
        from_tables(None, csv("n.csv", "id,f\na,u\nb,v\n"), knn=1)


def test_arguments_that_do_not_go_together_are_refused(csv):
    path = csv("t.csv", "a,b\n1x,2\n")
    with pytest.raises(InputError, match="got neither"):
        from_tables(None, path)
    with pytest.raises(InputError, match="got both"):
        from_tables(path, path, knn=3)
    with pytest.raises(InputError, match="expected a table of nodes"):
        from_tables(None, knn=3)


def test_id_columns_that_do_not_match_are_suspected(csv):
    with pytest.raises(
        InputError, match=r"2 of 3 edges name nodes that the nodes table lacks, such as 'x'.*do the id columns match"
    ):
        from_tables(csv("e.csv", "a,b\nu,v\nx,u\nv,y\n"), csv("n.csv", "id\nu\nv\n"))


def test_faults_of_both_tables_come_in_one_line(csv, tmp_path):
    with pytest.raises(InputError, match=r"^n\.csv line 3: id 'u' .*; e\.csv line 2: no id in column 'b'[^\n]*$"):
        from_tables(csv("e.csv", "a,b\nu,\n"), csv("n.csv", "id\nu\nu\n"))
    with pytest.raises(InputError, match=r"file of nodes at .*; expected a file of edges at"):
        from_tables(tmp_path / "no.csv", tmp_path / "neither.csv")


def test_a_graph_without_edges_is_refused(csv):
    with pytest.raises(InputError, match=r"at least one edge between two nodes, none is left .*1 self-loops dropped"):
        from_tables(csv("e.csv", "a,b\nu,u\n"))


def test_the_checksum_follows_the_content(csv):
    first = from_tables(csv("e.csv", "a,b\nu,v\n")).provenance
    same = from_tables(csv("e.csv", "a,b\nu,v\nu,v\n")).provenance
    other = from_tables(csv("e.csv", "a,b\nu,w\n")).provenance
    assert first.sha256 == same.sha256 != other.sha256
    assert (first.name, first.domain) == ("e", "own")
