import subprocess
import sys

import pytest

import graphcl.recsys
import graphcl.recsys.data


@pytest.mark.parametrize("package", [graphcl.recsys, graphcl.recsys.data])
def test_every_public_name_is_there_and_listed(package):
    for name in package.__all__:
        assert getattr(package, name).__module__.startswith("graphcl.recsys")
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(package, "nothing")  # noqa: B009


def test_importing_the_room_loads_nothing_heavy(tmp_path):
    code = (
        "import sys, graphcl.recsys.data\n"
        "print(sorted({'torch', 'pandas', 'polars', 'scipy', 'networkx', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
