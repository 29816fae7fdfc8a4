import numpy as np
import pytest

from graphcl.datasets.arrays import read_arrays, read_shapes
from graphcl.errors import InputError


def test_only_what_is_wanted_is_read(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones((3, 2)), junk=np.array([object()], dtype=object))
    assert list(read_arrays(tmp_path / "a.npz", lambda names: [name for name in names if name == "x"])) == ["x"]
    assert read_shapes(tmp_path / "a.npz") == {"x": (3, 2), "junk": (1,)}


def test_pickled_objects_are_never_loaded(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match=r"array 'x' holds pickled Python objects, which are never loaded; save it again"):
        read_arrays(tmp_path / "a.npz")


@pytest.mark.parametrize("keep", [0, 10, 100, -30])
def test_a_file_cut_short_is_one_clear_error(tmp_path, keep):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).random(500))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"a\.npz: cannot be read as an \.npz archive .* fetch or write it again"):
        read_arrays(path)
    assert read_shapes(path) == {}


def test_flipped_bytes_and_other_files_are_clear_errors(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).random(500))
    content = bytearray(path.read_bytes())
    content[1000:1100] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(InputError, match="cut short or damaged"):
        read_arrays(path)
    np.save(tmp_path / "b.npy", np.ones(3))
    with pytest.raises(InputError, match="not a zip archive"):
        read_arrays(tmp_path / "b.npy")
    with pytest.raises(InputError, match="found none"):
        read_arrays(tmp_path / "no.npz")
