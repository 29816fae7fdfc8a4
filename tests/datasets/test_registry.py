import hashlib
import io
import json
import shutil

import numpy as np
import pytest
import torch

from graphcl.datasets import load, names
from graphcl.datasets.registry import EMBEDDED
from graphcl.datasets.sources import Remote, Source
from graphcl.errors import InputError


def test_a_folder_dropped_in_is_listed_and_loads(bundle):
    root = bundle(name="shop").parents[2]
    assert "shop" in [entry.name for entry in names(root)]
    for name in ("shop", "citation/shop"):
        data = load(name, root)
        assert data.num_nodes == 4
        assert data.provenance.licence == data.provenance.source == "not stated"
        assert len(data.provenance.sha256) == 64


def test_the_environment_names_the_root(bundle, monkeypatch):
    monkeypatch.setenv("GRAPHCL_DATA", str(bundle(name="shop").parents[2]))
    assert load("shop").num_nodes == 4


def test_two_domains_need_a_decision(bundle):
    bundle(name="twin", domain="clustering", y=None)
    root = bundle(name="twin").parents[2]
    listed = [entry.name for entry in names(root)]
    assert "citation/twin" in listed
    assert "twin" not in listed
    with pytest.raises(InputError, match="'twin' is in 2 domains; say citation/twin or clustering/twin"):
        load("twin", root)
    with pytest.raises(InputError, match="say citation/twin or clustering/twin"):
        load("twin", root, prefer="roles")
    assert load("twin", root, prefer="clustering").y is None
    assert load("citation/twin", root, prefer="clustering").y is not None
    with pytest.raises(InputError, match="unknown domain 'clusterin'; did you mean clustering"):
        load("twin", root, prefer="clusterin")


def test_an_embedded_name_means_the_embedded_set(bundle):
    root = bundle(name="karate").parents[2]
    assert load("karate", root).num_nodes == 34
    assert load("citation/karate", root).num_nodes == 4
    assert "citation/karate" in [entry.name for entry in names(root)]


def test_an_unknown_name_says_what_there_is_and_where_it_looked(bundle):
    root = bundle(name="shop").parents[2]
    with pytest.raises(InputError) as caught:
        load("karrate", root)
    said = str(caught.value)
    for part in (
        "did you mean karate",
        "embedded: davis, digits, karate",
        f"found under {root}: citation/shop",
        "GRAPHCL_DATA",
    ):
        assert part in said
    assert "\n" not in said
    with pytest.raises(InputError, match=r"unknown data set '\.\./x'; embedded"):
        load("../x", root)


def test_a_bad_root_is_an_error_for_every_name(tmp_path):
    for call in (lambda: load("karate", tmp_path / "no"), lambda: names(tmp_path / "no")):
        with pytest.raises(InputError, match="does not exist"):
            call()


def test_notes_give_source_licence_and_checksum(bundle):
    path = bundle(name="shop")
    root = path.parents[2]
    entry = {"domain": "citation", "name": "shop", "title": "The shop", "licence": "MIT", "upstream": ["here"]}
    good = hashlib.sha256(path.read_bytes()).hexdigest()
    entry["files"] = [{"file": "data.npz", "sha256": good}]
    (root / "graphs.json").write_text(json.dumps({"datasets": [entry]}))
    provenance = load("shop", root).provenance
    assert (provenance.source, provenance.licence, provenance.sha256) == ("here", "MIT", good)
    assert "The shop" in [entry.description for entry in names(root)]
    bundle(name="shop", y=None)
    with pytest.raises(InputError, match=f"expected sha256 {good[:12]} as graphs.json says.*fetch it again"):
        load("shop", root)


def test_counts_of_the_embedded_listing_are_true():
    for entry in EMBEDDED:
        counts = load(entry.name).provenance.counts
        assert {key: counts[key] for key in entry.counts} == entry.counts


def test_knn_is_for_nearest_neighbour_graphs(bundle):
    root = bundle().parents[2]
    for name in ("karate", "mine"):
        with pytest.raises(InputError, match="leave knn out"):
            load(name, root, knn=5)


GOLDEN = {
    "citation/cora": (2708, 5278, 1433, 7),
    "citation/citeseer": (3327, 4552, 3703, 6),
    "citation/citeseer_full": (4230, 5337, 602, 6),
    "citation/dblp_citation": (17716, 52867, 1639, 4),
    "citation/pubmed_partial": (19717, 44324, 500, 3),
    "copurchase/amazon_photo": (7650, 119081, 745, 8),
    "copurchase/amazon_computers": (13752, 245861, 767, 10),
    "coauthor/coauthor_cs": (18333, 81894, 6805, 15),
    "coauthor/coauthor_physics": (34493, 247962, 8415, 5),
    "clustering/acm": (3025, 13128, 1870, 3),
    "clustering/citeseer": (3327, 4552, 3703, 6),
    "clustering/usps": (9298, 21452, 256, 10),
    "clustering/hhar_graph_only": (10299, 22721, 0, 6),
    "clustering/reuters_graph_only": (10000, 27867, 0, 4),
    "roles/brazil_airports": (131, 1003, 0, 4),
    "roles/usa_airports": (1190, 13599, 0, 4),
    "roles/blogcatalog": (10312, 333983, 0, 39),
    "roles/ppi_homo_sapiens": (3890, 37845, 0, 50),
    "roles/wikipedia_pos": (4777, 92295, 0, 40),
    "large/dblp_author_51k": (51264, 127968, 0, 60),
    "large/web_notredame": (325729, 1090108, 0, 0),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_real_sets_have_their_published_sizes(real_root, name):
    if not (real_root / name).is_dir():
        pytest.skip(f"{name} is not under the data root")
    data = load(name, real_root)
    counts = data.provenance.counts
    assert tuple(counts[key] for key in ("nodes", "edges", "features", "classes")) == GOLDEN[name]
    assert data.edge_index.dtype == torch.int64
    assert data.edge_index.shape == (2, 2 * GOLDEN[name][1])
    assert data.provenance.licence != "not stated"
    if name == "large/web_notredame":
        assert (counts["self_loops"], counts["symmetrised"]) == (27455, 710537)
    else:
        assert counts["self_loops"] == counts["duplicates"] == counts["symmetrised"] == 0


def test_masks_and_multi_labels_of_real_sets(real_root):
    cora = load("cora", real_root)
    assert [int(cora[key].sum()) for key in ("train_mask", "val_mask", "test_mask")] == [140, 500, 1000]
    assert cora.x.layout == torch.sparse_csr
    blog = load("blogcatalog", real_root)
    assert blog.y.shape == (10312, 39)
    assert blog.y.dtype == torch.float32
    assert int(blog.y.sum()) == 14476
    assert load("dblp_author_51k", real_root).y.dtype == torch.int64
    assert len(load("brazil_airports", real_root).node_ids) == 131
    assert load("amazon_photo", real_root).class_names


def test_a_planetoid_folder_loads_by_name(real_root, tmp_path):
    shutil.copytree(real_root / "citation" / "cora" / "raw", tmp_path / "citation" / "my-cora" / "raw")
    assert "my-cora" in [entry.name for entry in names(tmp_path)]
    data = load("my-cora", tmp_path)
    assert torch.equal(data.edge_index, load("cora", real_root).edge_index)
    assert data.provenance.name == "my-cora"
    with pytest.raises(InputError, match="leave knn out"):
        load("my-cora", tmp_path, knn=3)


@pytest.fixture
def shop(server, bundle, monkeypatch, tmp_path):
    """A root, an empty cache folder, and one set on a server that is known as ``shop_photo`` or ``snaps``."""
    stream = io.BytesIO()
    adjacency = {"adj_data": [1.0], "adj_indices": [1], "adj_indptr": [0, 1, 1], "adj_shape": [2, 2]}
    np.savez(stream, **adjacency, attr_matrix=np.eye(2), labels=[0, 1])
    counts = {"nodes": 2, "edges": 1, "features": 2, "classes": 2}
    files = (Remote(server.put("shop.npz", stream.getvalue())),)
    source = Source("shop_photo", "copurchase", "snaps", "Snapshots", "attributed", "home", "MIT", files, counts)
    monkeypatch.setattr("graphcl.datasets.registry.SOURCES", (source,))
    monkeypatch.setattr("graphcl.datasets.registry.cache_root", lambda: tmp_path / "cache")
    return bundle(name="other").parents[2]


def described(root):
    return {entry.name: entry.description for entry in names(root)}


def test_a_published_set_is_listed_and_fetched_on_first_use(shop, server):
    assert described(shop)["shop_photo"] == "Snapshots (downloaded on first use)"
    with pytest.raises(InputError, match="downloads were not asked for"):
        load("snaps", shop, download=False)
    for name in ("snaps", "shop_photo", "copurchase/shop_photo"):
        assert load(name, shop).provenance.name == "shop_photo"
    assert server.asked.total() == 1
    assert (shop / "copurchase" / "shop_photo" / "raw" / "shop.npz").is_file()
    assert described(shop)["shop_photo"] == "Snapshots"
    with pytest.raises(InputError, match="leave knn out"):
        load("snaps", shop, knn=3)


def test_the_cache_folder_is_looked_at_before_a_download(shop, server, tmp_path):
    (tmp_path / "cache").mkdir()
    load("snaps", tmp_path / "cache")
    assert described(shop)["shop_photo"] == "Snapshots"
    assert load("snaps", shop, download=False).num_nodes == 2
    assert server.asked.total() == 1


def test_a_folder_of_arrays_comes_before_a_download(shop, bundle, server):
    bundle(domain="copurchase", name="shop_photo")
    assert load("snaps", shop).num_nodes == 4
    assert not server.asked
    bundle(name="snaps", y=None)
    assert load("snaps", shop).y is None
    assert described(shop)["shop_photo"] == "folder copurchase/shop_photo"


def test_of_two_domains_the_one_that_is_there_is_taken_unless_told_otherwise(shop, bundle):
    bundle(domain="clustering", name="shop_photo")
    assert {"clustering/shop_photo", "copurchase/shop_photo"} <= described(shop).keys()
    assert load("shop_photo", shop).num_nodes == 4
    assert load("shop_photo", shop, prefer="copurchase").num_nodes == 2
    with pytest.raises(InputError, match="is in 2 domains; say clustering/shop_photo or copurchase/shop_photo"):
        load("shop_photo", shop)


def test_an_unknown_name_says_what_is_published(shop):
    with pytest.raises(InputError, match=r"did you mean snaps; .*published: shop_photo; look elsewhere"):
        load("snap", shop)
