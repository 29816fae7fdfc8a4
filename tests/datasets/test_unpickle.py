import collections
import os
import pickle

import numpy as np
import pytest
import scipy.sparse as sp

from graphcl.datasets.unpickle import CSRParts, read_pickle
from graphcl.errors import InputError


def write(tmp_path, value, protocol=2):
    path = tmp_path / "file.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 4])
def test_arrays_and_containers_come_back(tmp_path, protocol):
    graph = collections.defaultdict(list, {0: [1, 2], 1: [0]})
    assert read_pickle(write(tmp_path, graph, protocol)) == graph
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(read_pickle(write(tmp_path, array, protocol)), array)


def test_a_csr_matrix_comes_back_as_parts(tmp_path):
    parts = read_pickle(write(tmp_path, sp.csr_matrix(np.eye(3))))
    assert isinstance(parts, CSRParts)
    assert parts.stored_shape == (3, 3)
    assert parts.indices.tolist() == [0, 1, 2]


class Attack:
    def __init__(self, call, *arguments):
        self.call = call, arguments

    def __reduce__(self):
        return self.call


def test_a_malicious_pickle_is_refused_and_nothing_runs(tmp_path):
    trace = tmp_path / "ran"
    for attack in (
        Attack(os.system, f"touch {trace}"),
        Attack(eval, f"open({str(trace)!r}, 'w')"),
        Attack(os.mkdir, str(trace)),
    ):
        with pytest.raises(InputError, match=r"asks for \w+\.(system|eval|mkdir), .*it was not executed"):
            read_pickle(write(tmp_path, [attack]))
        assert not trace.exists()


@pytest.mark.parametrize(
    "value",
    [Attack(collections.defaultdict, int), Attack(getattr, "a", "b"), collections.OrderedDict(), Attack(np.load, "x")],
    ids=["factory", "getattr", "other container", "numpy function"],
)
def test_everything_else_is_refused(tmp_path, value):
    with pytest.raises(InputError, match="was not executed"):
        read_pickle(write(tmp_path, value))


def test_a_damaged_or_missing_pickle_is_named(tmp_path):
    path = write(tmp_path, np.arange(100))
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match=r"file\.pkl: cannot be read as a pickle .*fetch it again"):
        read_pickle(path)
    with pytest.raises(InputError, match="cannot read it"):
        read_pickle(tmp_path / "no")
