from __future__ import annotations

import pytest
import yaml

from graphcl.errors import InputError
from graphcl.models import SYSTEMS
from graphcl.models.recipes import find_recipe
from graphcl.tasks import bench_plan
from graphcl.tasks.bench_plan import SUITES, find_suite, plan
from graphcl.tasks.run_config import WISHES


def test_there_is_a_suite_for_every_task():
    assert {suite.task for suite in SUITES.values()} == set(WISHES)
    assert all(suite.main in suite.metrics for suite in SUITES.values())
    with pytest.raises(InputError, match="unknown suite 'recsis'; did you mean recsys"):
        find_suite("recsis")


def test_the_cells_are_all_systems_of_the_task_by_data_sets(tmp_path):
    cells = plan(find_suite("recsys"), tmp_path, datasets=["davis"], seeds=2, epochs=3, device="cpu")
    names = [entry.name for entry in SYSTEMS.values() if entry.task == "recommendation"]
    assert [cell.config.system for cell in cells] == names
    assert {cell.config.seeds for cell in cells} == {(0, 1)}
    assert {cell.config.training.epochs for cell in cells} == {3}
    assert [cell.folder for cell in cells] == [tmp_path / "davis" / name for name in names]
    assert list(tmp_path.iterdir()) == [], "nothing is written before it is run"


def test_a_benchmark_of_clusterings_stands_beside_all_baselines_and_others_beside_their_own(tmp_path):
    words = {"datasets": ["karate"], "seeds": 1}
    cells = plan(find_suite("clustering"), tmp_path, systems=["pamc", "magi"], **words)
    assert [cell.config.baselines for cell in cells] == ["full", "full"]
    assert plan(find_suite("node"), tmp_path, systems=["grace"], **words)[0].config.baselines is True


def test_data_sets_come_one_after_the_other_and_names_twice_count_once(tmp_path):
    words = {"systems": ["pamc", "sdcn", "pamc"], "datasets": ["digits", "karate", "digits"]}
    cells = plan(find_suite("clustering"), tmp_path, **words)
    assert [(cell.config.dataset, cell.config.system) for cell in cells] == [
        ("digits", "pamc"), ("digits", "sdcn"), ("karate", "pamc"), ("karate", "sdcn"),
    ]  # fmt: skip
    assert cells[0].config.model["hidden"] == find_recipe("pamc", "digits").model.get("hidden", cells[2].config.model["hidden"])


def test_without_names_the_data_sets_are_those_of_the_recipes(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_plan, "recipe_names", lambda: [("grace", "karate"), ("pamc", "digits"), ("sdcn", "karate")])
    cells = plan(find_suite("clustering"), tmp_path, systems=["pamc"])
    assert [(cell.config.dataset, cell.config.system) for cell in cells] == [("digits", "pamc")]
    monkeypatch.setattr(bench_plan, "recipe_names", list)
    with pytest.raises(InputError, match=r"no recipe says which data sets.*--datasets a,b"):
        plan(find_suite("clustering"), tmp_path)


def test_a_setting_goes_to_those_who_have_it_and_is_told_of_the_others(tmp_path):
    said = []
    words = {"systems": ["lightgcn", "ultragcn", "ease"], "datasets": ["davis"], "settings": ["layers=1", "lr=0.5"]}
    cells = plan(find_suite("recsys"), tmp_path, **words, say=said.append)
    assert cells[0].config.model["layers"] == 1
    assert said == ["--set layers=1 is left out of ultragcn, ease, which have no such setting"]
    assert {cell.config.training.lr for cell in cells} == {0.5}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"systems": ["pamk"]}, "unknown clustering system 'pamk'; did you mean pamc"),
        ({"systems": ["grace"]}, "unknown clustering system 'grace'"),
        ({"datasets": ["digitz"]}, "unknown data set 'digitz'; did you mean digits"),
        ({"settings": ["temprature=1"]}, "unknown key 'temprature'; did you mean temperature"),
        ({"settings": ["temperature"]}, "--set expects key=value"),
        ({"settings": ["lr=-1"]}, "lr must be > 0"),
        ({"seeds": 0}, "seeds is the number of runs"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is(tmp_path, words, message):
    with pytest.raises(InputError, match=message):
        plan(find_suite("clustering"), tmp_path, **{"datasets": ["karate"], **words})


def test_a_folder_with_another_run_is_refused_by_what_differs(tmp_path):
    words = {"systems": ["pamc"], "datasets": ["karate"]}
    (cell,) = plan(find_suite("clustering"), tmp_path, **words, seeds=2)
    cell.folder.mkdir(parents=True)
    (cell.folder / "config.yaml").write_text(yaml.safe_dump(cell.config.as_dict()))
    (again,) = plan(find_suite("clustering"), tmp_path, **words, seeds=2)
    assert again == cell
    with pytest.raises(InputError, match=r"karate/pamc holds a run with other seeds, training: name another folder with --out"):
        plan(find_suite("clustering"), tmp_path, **words, seeds=3, epochs=1)
