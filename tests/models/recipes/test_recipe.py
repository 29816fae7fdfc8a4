import inspect
from importlib.resources import files

import pytest
import yaml

from graphcl.datasets import names
from graphcl.models import SYSTEMS
from graphcl.models.recipes import Recipe, find_recipe, recipe_names
from graphcl.recsys import load
from graphcl.recsys.data.events import as_events
from graphcl.recsys.graph import Bipartite
from graphcl.recsys.ranking import ranking_protocol
from graphcl.recsys.sequences import Sequences
from graphcl.tasks.bench_plan import SUITES
from graphcl.tasks.run_config import RANKED, WISHES
from graphcl.training import TrainingConfig

FILES = sorted((e for e in files("graphcl.models.recipes").iterdir() if e.name.endswith(".yaml")), key=lambda e: e.name)
every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)


def read(file):
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    return find_recipe(content["system"], content["dataset"])


def test_there_are_recipes_and_every_file_is_one_of_them():
    assert FILES
    assert len(recipe_names()) == len(FILES)
    assert recipe_names() == sorted(set(recipe_names()))


@every_file
def test_a_file_is_a_recipe_under_the_name_of_its_system_and_data_set(file):
    recipe = read(file)
    assert isinstance(recipe, Recipe)
    assert file.name == f"{recipe.system}.{recipe.dataset.replace('/', '.')}.yaml"
    assert (recipe.system, recipe.dataset) in recipe_names()


@every_file
def test_the_system_is_known_and_takes_the_model_settings_by_keyword(file):
    recipe = read(file)
    parameters = inspect.signature(SYSTEMS[recipe.system].load()).parameters.values()
    assert set(recipe.model) <= {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    entry = SYSTEMS[recipe.system]
    rows = load("davis").train
    sizes = {
        "node": (5,), "clustering": (5, 3), "recommendation": (Bipartite(rows),),
        "sequential": (Sequences.of_events(as_events(rows)),),
    }  # fmt: skip
    entry.load()(*sizes[entry.task], **recipe.model)


@every_file
def test_the_training_settings_and_the_protocol_are_valid(file):
    recipe = read(file)
    TrainingConfig(**recipe.training)
    assert set(recipe.protocol) <= {"seeds", "baselines", *WISHES[SYSTEMS[recipe.system].task]}
    assert recipe.protocol.get("seeds", 1) >= 1
    assert recipe.protocol.get("selection", "last") in ("last", "label_free", "oracle")
    if SYSTEMS[recipe.system].task in RANKED:
        ranking_protocol(recipe.protocol.get("protocol", "strict"))
    else:
        assert recipe.protocol.get("protocol", "public") in ("public", "random")
    assert all(recipe.protocol.get(key, 1) >= 1 for key in ("splits", "every", "patience"))
    assert recipe.protocol.get("refit", False) in (True, False)


@every_file
def test_published_figures_name_their_source_and_ours_the_command(file):
    recipe = read(file)
    assert isinstance(recipe.published, tuple)
    assert all(figure.get("source") for figure in recipe.published)
    (suite,) = [suite for suite in SUITES.values() if suite.task == SYSTEMS[recipe.system].task]
    assert all(set(suite.metrics) & set(figure) for figure in recipe.published), "a figure that no table shows"
    assert not recipe.ours or recipe.ours["command"].startswith("graphcl ")


def test_digits_ship_with_a_recipe_and_are_a_data_set():
    assert find_recipe("pamc", "digits").protocol["selection"] == "last"
    assert any(entry.name == "digits" for entry in names())


def test_a_pair_that_nobody_wrote_a_recipe_for_has_none():
    assert find_recipe("pamc", "no such set") is None
    assert find_recipe("no such system", "digits") is None


def test_a_recipe_is_silent_where_its_defaults_serve():
    recipe = Recipe("pamc", "digits")
    assert recipe.model == recipe.training == recipe.protocol == recipe.ours == {}
    assert recipe.published == ()
