from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from graphcl.cli.own_tables import OwnTables
from graphcl.errors import InputError

NONE = dict.fromkeys(("edges", "nodes", "source", "target", "weight", "id", "features", "label", "knn"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give --edges FILE, or --nodes FILE with --knn K"),
        ({"nodes": Path("n.csv")}, "give --edges FILE, or --nodes FILE with --knn K"),
        ({"edges": Path("e.csv"), "knn": 3}, "--knn K stands in for --edges FILE"),
        ({"edges": Path("e.csv"), "features": "a"}, "--features names a column of --nodes FILE, which is missing"),
        ({"nodes": Path("n.csv"), "knn": 3, "weight": "w"}, "--weight names a column of --edges FILE, which is missing"),
    ],
)
def test_options_that_do_not_go_together_are_refused_before_a_file_is_opened(given, message):
    with pytest.raises(InputError, match=message):
        OwnTables(**{**NONE, **given})


def test_a_graph_is_called_after_its_nodes_or_its_edges():
    assert OwnTables(**{**NONE, "edges": Path("a/links.csv.gz")}).name == "links"
    assert OwnTables(**{**NONE, "edges": Path("e.csv"), "nodes": Path("b/people.v2.csv")}).name == "people"


def test_the_columns_trained_with_are_put_in_order_and_others_left_alone(tables):
    edges, nodes = tables()
    own = OwnTables(**{**NONE, "edges": edges, "nodes": nodes})
    plain, turned, one = own.read(), own.read(("tall", "warm")), own.read(("tall",))
    assert (plain.feature_names, turned.feature_names, one.feature_names) == (["warm", "tall"], ["tall", "warm"], ["tall"])
    np.testing.assert_array_equal(turned.x, plain.x[:, [1, 0]])
    chosen = OwnTables(**{**NONE, "edges": edges, "nodes": nodes, "features": "warm"}).read(("tall", "warm"))
    assert chosen.feature_names == ["warm"], "the option is stronger"


def test_columns_that_are_missing_are_named_with_what_is_there(tables):
    edges, nodes = tables()
    with pytest.raises(
        InputError, match=r"nodes.csv lacks 1 of the 2 feature columns .*: cold; other columns it has: id, tall$"
    ):
        OwnTables(**{**NONE, "edges": edges, "nodes": nodes}).read(("cold", "warm"))


def test_an_array_of_features_has_no_names_to_order_by(tables, tmp_path):
    edges, _ = tables()
    ids = OwnTables(**{**NONE, "edges": edges, "nodes": tmp_path / "nodes.csv"}).read().node_ids
    np.savez(tmp_path / "n.npz", id=np.array(ids), x=np.ones((20, 2)))
    data = OwnTables(**{**NONE, "edges": edges, "nodes": tmp_path / "n.npz"}).read(("x0", "x1"))
    assert data.feature_names == ["x0", "x1"]
