from __future__ import annotations

import pytest

from graphcl.errors import InputError
from graphcl.models import SYSTEMS
from graphcl.tasks import resolve
from graphcl.tasks.tune_objective import OBJECTIVES
from graphcl.tasks.tune_space import Choice, Range, default_space, full_key, parse_dimension, search_space


@pytest.fixture
def config():
    return resolve("grace", "karate", settings=["lr=0.01"])


def test_the_default_space_lies_around_the_values_of_the_run(config):
    space = {one.key: one for one in default_space(config)}
    assert space["training.lr"] == Range("training.lr", 0.001, 0.1, log=True)
    assert space["model.temperature"] == Range("model.temperature", 0.133, 1.2, log=True)
    assert space["model.drop_edge_1"] == Range("model.drop_edge_1", 0.0, 0.8)
    assert set(space) == {
        "training.lr", "model.temperature",
        *(f"model.drop_{what}_{view}" for what in ("edge", "feature") for view in (1, 2)),
    }  # fmt: skip


def test_the_default_space_follows_the_recipe_and_not_only_the_signature():
    plain, cooked = (default_space(resolve("bgrl", name)) for name in ("karate", "coauthor/coauthor_cs"))
    rates = [next(one for one in space if one.key == "training.lr") for space in (plain, cooked)]
    assert rates == [Range("training.lr", 1e-4, 1e-2, log=True), Range("training.lr", 1e-6, 1e-4, log=True)]


@pytest.mark.parametrize("name", [name for name, entry in SYSTEMS.items() if entry.task in OBJECTIVES])
def test_every_system_has_a_default_space_that_holds_what_a_run_would_take(name):
    config = resolve(name, "none")
    space = default_space(config)
    assert space[0].key == "training.lr"
    for one in space[1:]:
        assert one.near(config.model[one.key.partition(".")[2]]) is not None


def test_a_simple_recommender_has_no_learning_rate_and_whole_numbers_stay_whole():
    (neighbours,) = default_space(resolve("item-knn", "davis"))
    assert neighbours == Range("model.neighbours", 10, 1000, log=True, whole=True)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("temperature=0.1:1", Range("model.temperature", 0.1, 1.0)),
        ("training.lr=1e-4:1e-2:log", Range("training.lr", 1e-4, 1e-2, log=True)),
        ("hidden=4:16", Range("model.hidden", 4, 16, whole=True)),
        ("batch_nodes=4:16:log", Range("training.batch_nodes", 4, 16, log=True, whole=True)),
        ("clip_norm=1:5", Range("training.clip_norm", 1.0, 5.0)),
        ("hidden=4, 8,16", Choice("model.hidden", ("4", "8", "16"))),
        ("loss=nt-xent,info-nce", Choice("model.loss", ("nt-xent", "info-nce"))),
        ("symmetric_drop=true,false", Choice("model.symmetric_drop", ("true", "false"))),
    ],
)
def test_a_dimension_is_read_with_its_section_and_type_and_spelt_so_that_it_reads_the_same(config, text, want):
    found = parse_dimension(text, config)
    assert found == want
    assert [type(end) for end in found.ends()] == [type(end) for end in want.ends()]
    assert parse_dimension(str(found), config) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr", r"--space expects key=low:high, key=low:high:log or key=a,b,c.*got 'lr'$"),
        ("lr=0.1", "one value is no space, use --set lr=0.1"),
        ("=1:2", "--space expects"),
        ("lair=1:2", "unknown key 'lair'; did you mean"),
        ("lr=1:2:lin", "what may follow the two numbers is ':log'; got ':lin'"),
        ("lr=a:b", "training.lr takes numbers; got 'a' and 'b'"),
        ("hidden=1.5:3", "model.hidden takes whole numbers; got '1.5' and '3'"),
        ("loss=1:3", "model.loss is no number; name what it may be, as in --space loss=a,b"),
        ("symmetric_drop=0:1", "is no number"),
        ("lr=2:1", "the first number must be below the second; got 2.0 and 1.0"),
        ("lr=1:1", "must be below the second"),
        ("lr=nan:1", "must be below the second"),
        ("lr=0:1:log", "a logarithmic scale begins above 0; got 0.0"),
        ("loss=a,a", "two or more different values are needed; got 'a,a'"),
        ("loss=a,", None),
    ],
)
def test_what_is_no_space_is_refused_with_what_was_expected(config, text, message):
    if message is None:
        assert parse_dimension(text, config).values == ("a", "")  # what no run takes is refused when it is resolved
        return
    with pytest.raises(InputError, match=message):
        parse_dimension(text, config)


def test_a_key_that_two_sections_have_needs_its_section():
    config = resolve("pamc", "karate")
    assert full_key("warmup", config) == "model.warmup"
    assert full_key("model.temperature", config) == full_key("temperature", config) == "model.temperature"


def test_what_was_asked_for_takes_the_place_of_the_default_and_what_is_fixed_leaves_it(config):
    space = {one.key: one for one in search_space(config, ["temperature=0.2:0.3", "hidden=4,8"], ["drop_edge_1=0.5"])}
    assert space["model.temperature"] == Range("model.temperature", 0.2, 0.3)
    assert space["model.hidden"] == Choice("model.hidden", ("4", "8"))
    assert "model.drop_edge_1" not in space
    assert "model.drop_edge_2" in space
    assert list(space) == sorted(space)


@pytest.mark.parametrize(
    ("wanted", "fixed", "message"),
    [
        (["lr=0.1:1"], ["training.lr=0.5"], "--set fixes it; give training.lr once"),
        (["lr=0.1:1", "training.lr=1:2"], [], "it is there twice"),
    ],
)
def test_a_key_is_given_once(config, wanted, fixed, message):
    with pytest.raises(InputError, match=message):
        search_space(config, wanted, fixed)


def test_nothing_to_vary_is_refused():
    with pytest.raises(InputError, match="there is nothing to vary in popularity: say what with --space"):
        search_space(resolve("popularity", "davis"))


def test_a_value_is_rounded_to_four_digits_and_never_beyond_the_ends():
    assert Range("k", 0.0, 1.0).near(0.123456) == 0.1235
    assert Range("k", 0.123456, 1.0).near(0.123457) == 0.1235
    assert Range("k", 0.0, 0.123456).near(0.1234559) == 0.123456
    assert Range("k", 0.0, 1.0).near(1.2) is None
    assert Range("k", 0.0, 1.0).near(None) is None
    assert Range("k", 10, 99999, whole=True).near(12345) == 12345
    assert Choice("k", ("true", "2")).near(True) == "true"
    assert Choice("k", ("true", "2")).near(3) is None
