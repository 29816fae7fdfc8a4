from graphcl.datasets import Kept


def test_it_says_only_what_happened():
    assert str(Kept(nodes=1200, edges=3)) == "1,200 nodes, 3 undirected edges"
    said = str(Kept(5, 3, duplicates=1, self_loops=2, unknown=3, isolated=1, reciprocal=2))
    assert said == (
        "5 nodes, 3 undirected edges; 1 duplicate rows merged, 2 self-loops dropped, 3 edges to unknown nodes dropped, "
        "2 edges listed in both directions, 1 isolated nodes"
    )
    assert Kept(5, 3).as_dict()["isolated"] == 0
