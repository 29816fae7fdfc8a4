import platformdirs
import pytest

from graphcl.datasets.root import cache_root, data_root
from graphcl.errors import InputError


def test_the_argument_wins_over_the_variable(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    monkeypatch.setenv("GRAPHCL_DATA", str(tmp_path))
    assert data_root(tmp_path / "a") == tmp_path / "a"
    assert data_root() == tmp_path


def test_without_both_it_is_the_cache_folder(monkeypatch):
    monkeypatch.setenv("GRAPHCL_DATA", "")
    assert str(data_root()) == str(cache_root()) == platformdirs.user_cache_dir("graphcl")


def test_a_named_root_must_be_a_folder(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file \(given as the data root\), which is a file; .*--data ROOT"):
        data_root(tmp_path / "file")
    monkeypatch.setenv("GRAPHCL_DATA", str(tmp_path / "no"))
    with pytest.raises(InputError, match=r"named by GRAPHCL_DATA\), which does not exist"):
        data_root()
