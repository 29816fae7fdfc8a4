import subprocess
import sys

import pytest

import graphcl.datasets


def test_every_public_name_resolves():
    for name in graphcl.datasets.__all__:
        assert getattr(graphcl.datasets, name).__name__ == name
        assert name in dir(graphcl.datasets)


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = graphcl.datasets.nothing


def test_importing_and_listing_load_no_torch(tmp_path):
    code = (
        "import sys, graphcl.datasets as d; d.data_root; d.names(sys.argv[1]); "
        "print([m for m in ('torch', 'torch_geometric', 'polars', 'sklearn', 'networkx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
