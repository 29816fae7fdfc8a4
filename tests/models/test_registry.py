import subprocess
import sys
from importlib.util import find_spec

import pytest

from graphcl.errors import InputError
from graphcl.models import SYSTEMS, find_system
from graphcl.models.clustering import PamC
from graphcl.training import ClusteringSystem


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_entry_stands_under_its_name_and_says_where_it_lives(name):
    entry = SYSTEMS[name]
    assert entry.name == name
    assert find_spec(entry.module) is not None
    assert entry.load().__name__ == entry.cls
    assert entry.description


@pytest.mark.parametrize("name", [name for name, entry in SYSTEMS.items() if entry.task == "clustering"])
def test_every_clustering_system_is_made_of_widths_and_answers_the_protocol(name):
    assert isinstance(find_system(name, "clustering").load()(5, 3), ClusteringSystem)


def test_a_name_is_found_with_and_without_its_task():
    assert find_system("pamc") is find_system("pamc", "clustering") is SYSTEMS["pamc"]
    assert find_system("pamc").load() is PamC


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(InputError, match=r"unknown system 'pam'; did you mean pamc\?"):
        find_system("pam")
    with pytest.raises(InputError, match=r"unknown clustering method 'PAM-C'; did you mean pamc\?"):
        find_system("PAM-C", "clustering")


def test_a_system_of_another_task_does_not_count():
    with pytest.raises(InputError, match="unknown recommendation method 'pamc'"):
        find_system("pamc", "recommendation")


def test_the_table_is_read_without_torch():
    code = "import sys, graphcl.models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
