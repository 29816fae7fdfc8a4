import pytest

from graphcl.errors import InputError, unknown_name


def test_an_input_error_is_a_value_error():
    assert issubclass(InputError, ValueError)
    with pytest.raises(ValueError, match="bad width"):
        raise InputError("bad width")


def test_a_near_miss_is_answered_with_the_names_it_may_have_meant():
    error = unknown_name("system", "pamcc", ["pamc", "grace", "dgi"])
    assert isinstance(error, InputError)
    assert str(error) == "unknown system 'pamcc'; did you mean pamc?"


def test_several_near_names_are_offered_nearest_first():
    assert str(unknown_name("data set", "corra", ["cora", "cora-ml", "digits"])) == (
        "unknown data set 'corra'; did you mean cora or cora-ml?"
    )


def test_capitals_do_not_hide_the_name_that_was_meant():
    assert str(unknown_name("system", "PamC", ["pamc"])) == "unknown system 'PamC'; did you mean pamc?"


def test_a_name_like_no_other_is_answered_with_all_of_them_sorted():
    assert str(unknown_name("loss", "zzzzz", ["neighbor", "info"])) == "unknown loss 'zzzzz'; known: info, neighbor"


def test_an_empty_table_knows_none():
    assert str(unknown_name("system", "pamc", [])) == "unknown system 'pamc'; known: none"


def test_the_names_may_come_from_anything_that_can_be_iterated():
    assert "known: a, b" in str(unknown_name("system", "quite else", (name for name in "ba")))
