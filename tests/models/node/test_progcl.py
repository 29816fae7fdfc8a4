from itertools import pairwise

import pytest
import torch

from graphcl.errors import InputError
from graphcl.losses import NTXent
from graphcl.models.node import GCA
from graphcl.models.node.pot import POT
from graphcl.models.node.progcl import ProGCL

SMALL = {"hidden": 6, "projection": 7}


def test_before_its_start_it_is_gca_on_the_same_seed(graph):
    data, losses = graph(), []
    rates = {"drop_edge_1": 0.2, "drop_edge_2": 0.4, "centrality": "degree", "activation": "prelu", "temperature": 0.5}
    for make in (GCA, ProGCL):
        torch.manual_seed(0)
        system = make(9, **SMALL, drop_feature_1=0.1, drop_feature_2=0.2, **rates)
        system.on_epoch_start(0, data)
        torch.manual_seed(1)
        losses.append(system.training_step(data)["loss"])
    assert torch.equal(*losses)


def test_from_its_start_negatives_are_weighted_and_fitted_anew(graph):
    data = graph()
    torch.manual_seed(0)
    system = ProGCL(9, **SMALL, start=2, refit=3)
    shapes = []
    for epoch in range(6):
        system.on_epoch_start(epoch, data)
        assert bool(system.posterior.fitted) == (epoch >= 2)
        shapes.append(system.posterior.shapes.clone())
    changed = [not torch.equal(before, after) for before, after in pairwise(shapes)]
    assert changed == [False, True, False, False, True]
    z1, z2 = torch.randn(2, 23, 6)
    torch.testing.assert_close(system.contrast(z1, z2), NTXent(0.2, negatives=system.posterior)(z1, z2))
    assert (system.contrast(z1, z2) - NTXent(0.2)(z1, z2)).abs() > 1e-3


def test_the_mixture_stands_once_in_the_state():
    keys = [key for key in ProGCL(9, **SMALL).state_dict() if "shapes" in key]
    assert keys == ["posterior.shapes"]


@pytest.mark.parametrize("options", [{}, {"start": 1, "refit": 2}, {"start": 4, "encoder": "sage", "row_normalise": True}])
def test_it_is_sound(graph, sound, options):
    sound(lambda: ProGCL(9, **SMALL, **options), graph(sparse=True, weighted=True))


def test_provable_training_may_be_put_on_it(graph, sound):
    sound(lambda: POT(ProGCL(9, **SMALL, activation="relu", start=1)), graph())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": -1}, "start must be >= 0.* got -1"),
        ({"refit": 0}, "refit must be >= 1.* got 0"),
        ({"false_share": 0.0}, r"false_share must lie in \(0, 1\)"),
        ({"hidden": 0}, "hidden must be >= 1; got 0"),
        ({"temperature": 0.0}, "temperature must be > 0"),
    ],
)
def test_hyper_parameters_out_of_range_are_named(options, message):
    with pytest.raises(InputError, match=message):
        ProGCL(9, **options)
