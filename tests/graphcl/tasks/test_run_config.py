from __future__ import annotations

import dataclasses
import inspect

import pytest
import yaml

from graphcl.errors import InputError
from graphcl.models import SYSTEMS
from graphcl.models.clustering import PamC
from graphcl.models.recipes import Recipe
from graphcl.tasks import read_config, resolve
from graphcl.tasks.run_config import find_entry, takes
from graphcl.training import TrainingConfig

DEFAULTS = {
    parameter.name: parameter.default
    for parameter in inspect.signature(PamC).parameters.values()
    if parameter.kind is parameter.KEYWORD_ONLY
}
RECIPE = Recipe(
    "pamc",
    "mine",
    model={"temperature": 0.9, "hidden": 32},
    training={"epochs": 7, "lr": 0.5},
    protocol={"seeds": 5, "selection": "label_free"},
)


@pytest.fixture
def recipe(monkeypatch):
    monkeypatch.setattr("graphcl.tasks.run_config.find_recipe", lambda system, dataset: RECIPE if dataset == "mine" else None)


def test_without_a_recipe_every_default_is_written_out():
    config = resolve("pamc", "anything")
    assert config.seeds == (0, 1, 2)
    assert config.selection == "last"
    assert config.training == TrainingConfig()
    assert config.model == DEFAULTS


def test_the_recipe_speaks_where_nothing_was_wished(recipe):
    config = resolve("pamc", "mine")
    assert config.seeds == (0, 1, 2, 3, 4)
    assert config.selection == "label_free"
    assert (config.model["temperature"], config.model["hidden"]) == (0.9, 32)
    assert config.model["width"] == DEFAULTS["width"], "a default where the recipe is silent"
    assert (config.training.epochs, config.training.lr) == (7, 0.5)


def test_set_is_stronger_than_the_recipe_and_an_option_stronger_than_set(recipe):
    wishes = ["temperature=0.2", "epochs=8", "lr=0.25"]
    config = resolve("pamc", "mine", settings=wishes, training={"epochs": 9, "lr": None}, seeds=1, selection="oracle")
    assert config.model["temperature"] == 0.2
    assert config.model["hidden"] == 32
    assert (config.training.epochs, config.training.lr) == (9, 0.25)
    assert (config.seeds, config.selection) == ((0,), "oracle")


@pytest.mark.parametrize("key", ["temperature", "model.temperature", " model.temperature "])
def test_a_key_may_be_bare_or_dotted(key):
    assert resolve("pamc", "x", settings=[f"{key}= 0.25"]).model["temperature"] == 0.25


def test_the_later_of_two_settings_holds():
    config = resolve("pamc", "x", settings=["model.temperature=0.1", "temperature=0.3"])
    assert config.model["temperature"] == 0.3


def test_values_get_the_type_of_the_argument():
    config = resolve("pamc", "x", settings=["hidden=8", "deterministic=false", "lr=1e-2", "device=cpu"])
    assert config.model["hidden"] == 8
    assert config.training == TrainingConfig(deterministic=False, lr=0.01, device="cpu")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.temprature=1", "unknown key 'model.temprature'; did you mean model.temperature"),
        ("temprature=1", "unknown key 'temprature'; did you mean temperature"),
        ("modell.temperature=1", "unknown key 'modell.temperature'; did you mean model.temperature"),
        ("training.temperature=1", "unknown key 'training.temperature'; did you mean .*model.temperature"),
        ("model.=1", "unknown key 'model.'"),
        ("n_clusters=3", "unknown key 'n_clusters'"),
        ("in_features=3", "unknown key 'in_features'"),
        ("temperature", "--set expects key=value, for example --set model.temperature=0.5; got 'temperature'"),
        ("=1", "--set expects key=value"),
        ("hidden=many", "model.hidden: Input should be a valid integer.*; got 'many'"),
        ("order=1.5", "model.order: Input should be a valid integer.*; got '1.5'"),
        ("temperature=", "model.temperature: Input should be a valid number.*; got ''"),
        ("epochs=ten", "training.epochs: Input should be a valid integer.*; got 'ten'"),
        ("deterministic=maybe", "training.deterministic: Input should be a valid boolean.*; got 'maybe'"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused_by_its_name(setting, message):
    with pytest.raises(InputError, match=message) as caught:
        resolve("pamc", "x", settings=[setting])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("epochs=0", "epochs must be >= 1; got 0"),
        ("lr=-1", "lr must be > 0; got -1.0"),
        ("weight_decay=nan", "weight_decay must be >= 0; got nan"),
    ],
)
def test_a_value_out_of_range_is_said_once_in_our_own_words(setting, message):
    with pytest.raises(InputError) as caught:
        resolve("pamc", "x", settings=[setting])
    assert str(caught.value) == message


@pytest.mark.parametrize("seeds", [0, -1, 1001, 20_240_101])
def test_a_number_of_seeds_that_nobody_means_is_refused(seeds):
    with pytest.raises(InputError, match=f"seeds is the number of runs and must lie in 1 .. 1000; got {seeds}"):
        resolve("pamc", "x", seeds=seeds)


@pytest.mark.parametrize("first", [-1, 2**32])
def test_a_first_seed_out_of_range_is_refused(first):
    with pytest.raises(InputError, match=f"a seed lies in 0 .. 4294967295; got {first}"):
        resolve("pamc", "x", seeds=1, first_seed=first)


def test_seeds_are_counted_from_the_first():
    assert resolve("pamc", "x", seeds=2, first_seed=40).seeds == (40, 41)
    assert resolve("pamc", "x", seeds=1, first_seed=2**32 - 1).seeds == (2**32 - 1,)


def test_an_unknown_selection_or_system_is_refused():
    with pytest.raises(InputError, match="selection: Input should be 'last', 'label_free' or 'oracle'; got 'best'"):
        resolve("pamc", "x", selection="best")
    with pytest.raises(InputError, match="unknown system 'pam'; did you mean pamc"):
        resolve("pam", "x")


def test_the_written_form_is_plain_and_complete():
    config = resolve("pamc", "digits", seeds=2)
    plain = yaml.safe_load(yaml.safe_dump(config.as_dict()))
    keys = ["system", "dataset", "n_clusters", "selection", "seeds", "baselines", "model", "training"]
    assert list(config.as_dict()) == keys
    assert list(resolve("grace", "digits").as_dict()) == [*keys[:2], "protocol", "splits", *keys[4:]]
    assert plain == config.as_dict()
    assert plain["seeds"] == [0, 1]
    assert plain["training"] == dataclasses.asdict(config.training)


def test_the_written_form_resolves_to_the_same_run():
    config = resolve("pamc", "x", settings=["temperature=0.3", "epochs=4"])
    plain = config.as_dict()
    items = [(part, key, value) for part in ("model", "training") for key, value in plain[part].items()]
    wishes = [f"{part}.{key}={value}" for part, key, value in items if value is not None]
    silent = {key for _, key, value in items if value is None}  # nothing can be said of these on the command line
    assert silent == {"clip_norm", "batch_nodes", *(key for key, value in DEFAULTS.items() if value is None)}
    assert resolve(plain["system"], plain["dataset"], settings=wishes).as_dict() == plain


def test_a_node_system_takes_protocol_and_splits_from_recipe_or_wish(monkeypatch):
    recipe = Recipe("grace", "mine", protocol={"seeds": 4, "protocol": "random", "splits": 5, "baselines": False})
    monkeypatch.setattr("graphcl.tasks.run_config.find_recipe", lambda system, dataset: recipe)
    config = resolve("grace", "mine")
    assert (config.protocol, config.splits, config.baselines, len(config.seeds)) == ("random", 5, False, 4)
    config = resolve("grace", "mine", protocol="public", splits=2, baselines=True, seeds=1)
    assert (config.protocol, config.splits, config.baselines, len(config.seeds)) == ("public", 2, True, 1)
    monkeypatch.undo()
    config = resolve("grace", "mine")
    assert (config.protocol, config.splits, config.baselines) == (None, None, True)


@pytest.mark.parametrize(
    ("system", "wish", "message"),
    [
        ("grace", {"n_clusters": 3}, r"--k is for clustering systems, and grace is a node system: leave it out \(node systems"),
        ("grace", {"selection": "last"}, "--selection is for clustering systems, and grace is a node system"),
        (
            "pamc",
            {"protocol": "public"},
            "--protocol is for node, recommendation and sequential systems.*clustering systems take --k and --selection",
        ),
        ("pamc", {"splits": 3}, "--splits is for node systems, and pamc is a clustering system"),
        (
            "lightgcn",
            {"n_clusters": 3},
            "--k is for clustering systems.*take --protocol, --every, --patience and --refit/--no-refit",
        ),
        ("lightgcn", {"splits": 3}, "--splits is for node systems, and lightgcn is a recommendation system"),
        ("lightgcn", {"protocol": "public"}, "unknown ranking protocol 'public'"),
        ("lightgcn", {"every": 0}, "every must be >= 1, the epochs between two looks at the validation part; got 0"),
        ("lightgcn", {"patience": 0}, "patience must be >= 1, the looks without a gain that end training; got 0"),
        ("grace", {"refit": False}, "--refit/--no-refit is for recommendation and sequential systems"),
        ("sasrec", {"splits": 3}, "--splits is for node systems, and sasrec is a sequential system"),
        ("sasrec", {"protocol": "public"}, "unknown ranking protocol 'public'"),
        ("grace", {"protocol": "publik"}, "unknown protocol 'publik'; did you mean public"),
        ("grace", {"splits": 0}, "splits must be >= 1, the number of random splits; got 0"),
    ],
)
def test_wishes_of_another_task_and_bad_ones_are_refused(system, wish, message):
    with pytest.raises(InputError, match=message):
        resolve(system, "x", **wish)


def test_a_node_configuration_is_read_as_it_was_written(tmp_path):
    config = resolve("grace", "x", protocol="random", splits=3, baselines=False)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.as_dict()))
    assert read_config(tmp_path / "config.yaml") == config
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**config.as_dict(), "protocol": "best"}))
    with pytest.raises(InputError, match="unknown protocol 'best'"):
        read_config(tmp_path / "config.yaml")


@pytest.fixture
def written(tmp_path):
    """Writes a configuration, changed by hand, as a run folder has it."""

    def write(**changes):
        content = {**resolve("pamc", "x", settings=["temperature=0.3", "lr=1e-5", "clip_norm=2"]).as_dict(), **changes}
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


def test_what_was_written_is_read_as_it_was(written):
    config = read_config(written())
    assert config == resolve("pamc", "x", settings=["temperature=0.3", "lr=1e-5", "clip_norm=2"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"system": "pmac"}, "unknown system 'pmac'; did you mean pamc"),
        ({"model": {"temperature": -1.0}}, "config.yaml was changed or written by another version, in model"),
        ({"model": {"temprature": 1.0}}, "model.temprature: Extra inputs are not permitted"),
        ({"training": {"epochs": 0}}, "epochs must be >= 1; got 0"),
        ({"seeds": "many"}, "config.yaml.seeds"),
        ({"purpose": "none"}, "config.yaml was changed or written by another version, in purpose: the run cannot go on"),
    ],
)
def test_a_configuration_that_was_changed_is_refused_by_what_is_wrong(written, changes, message):
    with pytest.raises(InputError, match=message):
        read_config(written(**changes))


@pytest.mark.parametrize("content", [b"a: [", b"\xff\xfe\x00", b"- 1\n", b""])
def test_a_file_that_is_no_configuration_is_one_line(tmp_path, content):
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(InputError, match=r"config\.yaml") as caught:
        read_config(tmp_path / "config.yaml")
    assert "\n" not in str(caught.value)


def test_a_recommendation_system_takes_its_wishes_from_recipe_or_caller(monkeypatch, tmp_path):
    recipe = Recipe("lightgcn", "mine", protocol={"seeds": 4, "protocol": "lit-ratio-ngcf", "every": 2, "refit": True})
    monkeypatch.setattr("graphcl.tasks.run_config.find_recipe", lambda system, dataset: recipe)
    config = resolve("lightgcn", "mine", patience=3, refit=False)
    assert (config.protocol, config.every, config.patience, config.refit) == ("lit-ratio-ngcf", 2, 3, False)
    assert len(config.seeds) == 4
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.as_dict()))
    assert read_config(tmp_path / "config.yaml") == config
    monkeypatch.undo()
    config = resolve("lightgcn", "davis")
    assert (config.protocol, config.every, config.patience, config.refit) == (None, 5, 10, None)


def test_a_simple_recommender_shows_its_arguments_but_the_seed_and_runs_once(tmp_path):
    config = resolve("gf-cf", "davis", settings=["rank=4"])
    assert config.model == {"alpha": 0.3, "rank": 4}
    assert config.seeds == (0,)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.as_dict()))
    assert read_config(tmp_path / "config.yaml") == config
    assert resolve("popularity", "davis").model == {}


def test_every_system_can_be_resolved_by_its_name():
    for name in SYSTEMS:
        assert resolve(name, "x").system == find_entry(name).name == name


def test_whether_a_system_has_a_setting_is_known_before_it_is_resolved():
    lightgcn, ease = find_entry("lightgcn"), find_entry("ease")
    assert takes(lightgcn, "layers=2")
    assert takes(lightgcn, "training.lr=x")
    assert not takes(ease, "layers=2")
    assert not takes(lightgcn, "layers")


def test_baselines_are_on_off_or_full_and_come_back_from_a_file(tmp_path):
    for wish, want in ((None, True), (False, False), ("full", "full")):
        config = resolve("pamc", "x", baselines=wish)
        assert config.baselines is want or config.baselines == want
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.as_dict()))
        assert read_config(tmp_path / "config.yaml") == config


def test_a_recommender_run_has_more_epochs_and_nothing_else_is_changed():
    config = resolve("sgl", "davis", training={"epochs": 7})
    longer = config.longer(9)
    assert longer.training.epochs == 9
    assert dataclasses.replace(longer, training=config.training) == config
    for epochs in (7, 3):
        with pytest.raises(InputError, match=rf"--epochs {epochs}: this run has 7 already; ask for more, or leave it out"):
            config.longer(epochs)


@pytest.mark.parametrize(("system", "settings"), [("grace", ()), ("pamc", ()), ("sgl", ["schedule=cosine"])])
def test_where_more_epochs_are_another_run_they_are_refused(system, settings):
    config = resolve(system, "davis", settings=settings)
    assert not config.can_grow
    with pytest.raises(InputError, match=rf"and its learning rate constant; this one is of {system}, schedule="):
        config.longer(10_000)
