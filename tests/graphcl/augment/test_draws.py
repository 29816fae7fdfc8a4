import math

import pytest
import torch

from graphcl.augment.draws import check_length, check_probability, draw_kept
from graphcl.errors import InputError

CPU = torch.device("cpu")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("p", [0.0, 0.2, 0.75, 1.0])
def test_things_go_as_often_as_they_should(p):
    kept = draw_kept(p, 20_000, CPU, seeded())
    assert kept.dtype == torch.bool
    assert abs(float(kept.float().mean()) - (1 - p)) <= 4 * math.sqrt(p * (1 - p) / 20_000)


def test_each_thing_may_have_a_probability_of_its_own():
    p = torch.tensor([0.0, 1.0, 0.3]).repeat(10_000)
    kept = draw_kept(p, len(p), CPU, seeded()).view(-1, 3).float().mean(0)
    assert kept[:2].tolist() == [1.0, 0.0]
    assert abs(float(kept[2]) - 0.7) < 0.02


def test_one_probability_for_all_is_the_same_draw_as_one_for_each():
    assert torch.equal(draw_kept(0.4, 101, CPU, seeded()), draw_kept(torch.full((101,), 0.4), 101, CPU, seeded()))


def test_the_generator_decides_and_torchs_own_is_the_default():
    assert torch.equal(draw_kept(0.5, 64, CPU, seeded(3)), draw_kept(0.5, 64, CPU, seeded(3)))
    torch.manual_seed(3)
    own = draw_kept(0.5, 64, CPU)
    assert torch.equal(own, draw_kept(0.5, 64, CPU, seeded(3)))
    assert not torch.equal(own, draw_kept(0.5, 64, CPU))


@pytest.mark.parametrize("p", [-0.1, 1.5, math.nan, math.inf])
def test_a_number_that_is_no_probability_is_named(p):
    with pytest.raises(InputError, match=rf"drop is the probability to go and lies in 0 \.\. 1; got {p}"):
        check_probability(p, "drop")


@pytest.mark.parametrize("bad", [-0.5, 1.25, math.nan])
def test_a_vector_is_searched_for_what_is_no_probability(bad):
    with pytest.raises(InputError, match=f"p holds probabilities in 0 .. 1; got {bad} at 2"):
        check_probability(torch.tensor([0.0, 1.0, bad]))


@pytest.mark.parametrize("p", [torch.tensor(0.5), torch.ones(2, 2), torch.ones(2, dtype=torch.long)])
def test_what_is_no_vector_of_floats_is_named(p):
    with pytest.raises(InputError, match="must be a number or a vector of a floating type"):
        check_probability(p)


def test_a_vector_made_for_another_graph_is_refused():
    check_length(0.5, 7, "edges")
    check_length(torch.zeros(7), 7, "edges")
    with pytest.raises(InputError, match="p holds 6 probabilities but the graph has 7 edges: was it made for another graph"):
        check_length(torch.zeros(6), 7, "edges")
