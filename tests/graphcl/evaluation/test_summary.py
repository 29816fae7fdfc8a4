import math

import pytest

from graphcl.evaluation import summarise


def test_mean_and_sample_deviation_of_three_runs():
    out = summarise([{"acc": 0.5, "nmi": 1.0}, {"acc": 0.7, "nmi": 1.0}, {"acc": 0.9, "nmi": 1.0}])
    assert out["acc"]["mean"] == pytest.approx(0.7)
    assert out["acc"]["std"] == pytest.approx(math.sqrt(0.08 / 2))
    assert out["acc"]["values"] == [0.5, 0.7, 0.9]
    assert out["nmi"] == {"mean": 1.0, "std": 0.0, "values": [1.0, 1.0, 1.0]}


def test_a_single_run_has_no_deviation():
    assert summarise([{"acc": 0.25}]) == {"acc": {"mean": 0.25, "std": 0.0, "values": [0.25]}}


def test_no_runs_give_no_lines():
    assert summarise([]) == {}


def test_the_order_of_runs_is_kept_in_the_values_alone():
    there, back = summarise([{"s": 1}, {"s": 2}, {"s": 6}]), summarise([{"s": 6}, {"s": 2}, {"s": 1}])
    assert (there["s"]["mean"], there["s"]["std"]) == pytest.approx((back["s"]["mean"], back["s"]["std"]))
    assert there["s"]["values"] == back["s"]["values"][::-1] == [1.0, 2.0, 6.0]


def test_the_numbers_are_plain_so_that_they_can_be_written_as_json():
    line = summarise([{"acc": 1}, {"acc": 0}])["acc"]
    assert type(line["mean"]) is type(line["std"]) is type(line["values"][0]) is float
