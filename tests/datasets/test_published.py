import hashlib
import io
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console

from graphcl.datasets import load
from graphcl.datasets.published import SUMS, load_published
from graphcl.datasets.sources import SOURCES, Remote, Source
from graphcl.errors import InputError

SIZES = {"nodes": 3, "edges": 2, "features": 2, "classes": 2}


def small(**changes):
    arrays = {
        "adj_data": np.ones(2), "adj_indices": np.array([1, 2]), "adj_indptr": np.array([0, 1, 2, 2]), "adj_shape": [3, 3],
        "attr_matrix": np.eye(3, 2), "labels": np.array([0, 1, 0]), **changes,
    }  # fmt: skip
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


@pytest.fixture
def shop(server):
    """A tiny set on the server whose checksum nobody knows."""
    url = server.put("npz/shop.npz", small())
    return Source("shop", "copurchase", "", "Shop", "attributed", "home", "MIT", (Remote(url),), SIZES)


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=200)


def below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_set_is_fetched_once_and_its_checksum_recorded_and_shown(server, shop, console, tmp_path):
    data = load_published(shop, tmp_path, console=console)
    sha = hashlib.sha256(small()).hexdigest()
    assert {key: data.provenance.counts[key] for key in SIZES} == SIZES
    assert data.provenance.source == "home (checksum trusted on first use)"
    assert data.provenance.sha256 == sha
    assert below(tmp_path / "copurchase/shop/raw") == [SUMS, "shop.npz"]
    assert (tmp_path / "copurchase/shop/raw" / SUMS).read_text() == f"{sha}  shop.npz\n"
    fetching, trusted = console.file.getvalue().splitlines()
    assert fetching.startswith(f"fetching {shop.files[0].url} to ")
    assert trusted == f"shop.npz: sha256 {sha}, trusted on first use"
    load_published(shop, tmp_path, download=False, console=console)
    assert server.asked.total() == 1
    assert len(console.file.getvalue().splitlines()) == 2


def test_what_was_trusted_once_holds(server, shop, console, tmp_path):
    load_published(shop, tmp_path, console=console)
    path = tmp_path / "copurchase/shop/raw/shop.npz"
    good = path.read_bytes()
    path.write_bytes(small(labels=np.array([1, 0, 1])))
    with pytest.raises(InputError, match=f"shop.npz: expected sha256 .* as recorded in {SUMS} beside it.*remove it"):
        load_published(shop, tmp_path, console=console)
    path.unlink()
    server.put("npz/shop.npz", small(labels=np.array([1, 0, 1])))
    with pytest.raises(InputError, match=r"expected sha256 .*the file was changed where it is published"):
        load_published(shop, tmp_path, console=console)
    assert not path.exists()
    server.put("npz/shop.npz", good)
    assert load_published(shop, tmp_path, console=console).num_nodes == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>please log in</html>", "not a zip archive"),
        (small(attr_matrix=np.eye(3, 5)), "'copurchase/shop' as published: expected features 2, got 5"),
        (small(adj_indices=np.array([1, 7])), "column ids from 0 to 2, got 7"),
    ],
)
def test_what_is_not_the_published_set_is_never_trusted(server, shop, console, tmp_path, content, message):
    server.put("npz/shop.npz", content)
    with pytest.raises(InputError, match=f"{shop.files[0].url}: not the published set, so it was removed.*{message}"):
        load_published(shop, tmp_path, console=console)
    assert below(tmp_path) == []
    server.put("npz/shop.npz", small())
    assert load_published(shop, tmp_path, console=console).num_nodes == 3


def test_a_known_checksum_is_demanded_and_a_truncated_file_is_fetched_again(server, shop, console, tmp_path):
    known = Remote(shop.files[0].url, hashlib.sha256(small()).hexdigest())
    source = replace(shop, files=(known,))
    server.withheld["npz/shop.npz"] = 10
    with pytest.raises(InputError, match="cut short"):
        load_published(source, tmp_path, console=console)
    server.withheld.clear()
    assert load_published(source, tmp_path, console=console).provenance.source == "home (checksum known)"
    assert below(tmp_path) == ["copurchase/shop/raw/shop.npz"]
    (tmp_path / "copurchase/shop/raw/shop.npz").write_bytes(small()[:-5])
    with pytest.raises(InputError, match=r"as published, got .*the file is damaged"):
        load_published(source, tmp_path, console=console)


def test_without_leave_to_download_the_remedy_is_said(server, shop, tmp_path, monkeypatch):
    folder = tmp_path / "copurchase/shop/raw"
    with pytest.raises(InputError, match=f"under {folder} and downloads were not asked for; .*by hand: {shop.files[0].url}"):
        load_published(shop, tmp_path, download=False)
    monkeypatch.setenv("GRAPHCL_OFFLINE", "1")
    with pytest.raises(InputError, match="GRAPHCL_OFFLINE forbids downloads"):
        load_published(shop, tmp_path)
    assert not server.asked
    assert below(tmp_path) == []


def test_a_file_put_there_by_hand_is_trusted_and_kept_even_when_wrong(shop, console, tmp_path):
    folder = tmp_path / "copurchase/shop/raw"
    folder.mkdir(parents=True)
    (folder / "shop.npz").write_bytes(small(attr_matrix=np.eye(3, 5)))
    with pytest.raises(InputError, match=r"expected features 2, got 5; are they the right files\?"):
        load_published(shop, tmp_path, download=False, console=console)
    assert below(folder) == ["shop.npz"]
    (folder / "shop.npz").write_bytes(small())
    load_published(shop, tmp_path, download=False, console=console)
    assert below(folder) == [SUMS, "shop.npz"]


def test_damaged_records_are_said(shop, console, tmp_path):
    load_published(shop, tmp_path, console=console)
    (tmp_path / "copurchase/shop/raw" / SUMS).write_text("nonsense\n")
    with pytest.raises(InputError, match=f"{SUMS}: expected lines of"):
        load_published(shop, tmp_path, console=console)


def test_a_planetoid_set_comes_whole_or_is_completed(server, real_root, console, tmp_path):
    (cora,) = (source for source in SOURCES if source.name == "cora")
    raw = real_root / "citation" / "cora" / "raw"
    if not raw.is_dir():
        pytest.skip("needs the raw files of cora")
    urls = [server.put(f"data/{file.name}", (raw / file.name).read_bytes()) for file in cora.files]
    source = replace(cora, files=tuple(replace(file, url=url) for file, url in zip(cora.files, urls, strict=True)))
    server.files["data/ind.cora.graph"] = server.files["data/ind.cora.graph"][:-1] + b"?"
    with pytest.raises(InputError, match=r"ind\.cora\.graph: expected sha256"):
        load_published(source, tmp_path, console=console)
    assert "citation/cora/raw/ind.cora.graph" not in below(tmp_path)
    assert "citation/cora/raw/ind.cora.x" in below(tmp_path)
    server.put("data/ind.cora.graph", (raw / "ind.cora.graph").read_bytes())
    data = load_published(source, tmp_path, console=console)
    assert server.asked["data/ind.cora.x"] == 1
    plain = load("citation/cora", real_root)
    assert torch.equal(data.edge_index, plain.edge_index)
    assert torch.equal(data.x.to_dense(), plain.x.to_dense())
    for key in ("y", "train_mask", "val_mask", "test_mask"):
        assert torch.equal(data[key], plain[key])
    assert re.search("planetoid.*checksum known", data.provenance.source)
