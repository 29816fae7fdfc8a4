import math

import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.models.node.bgrl import BGRL
from graphcl.training import Trainer, TrainingConfig

SMALL = {"width": 5, "hidden": 7, "predictor": 6}
RATES = {"drop_edge_1": 0.3, "drop_feature_1": 0.2, "drop_edge_2": 0.1, "drop_feature_2": 0.4}


@pytest.mark.parametrize("sparse", [False, True])
def test_a_step_is_the_papers_in_value_and_gradients(graph, drawn, encoded, same_step, sparse):
    data = graph(sparse=sparse)
    torch.manual_seed(1)
    system = BGRL(9, **SMALL, **RATES)
    torch.manual_seed(2)
    loss = system.training_step(data)["loss"]
    torch.manual_seed(2)
    views = drawn(data, [(0.3, 0.2), (0.1, 0.4)])
    q1, q2 = (system.predictor(encoded(system.encoder, view)).double() for view in views)
    t1, t2 = (encoded(system.target, view).double().detach() for view in views)
    same_step(system, loss, 2 - F.cosine_similarity(q1, t2).mean() - F.cosine_similarity(q2, t1).mean())
    assert 0 <= float(loss) <= 4


def test_the_target_begins_with_weights_of_its_own_and_gets_no_gradient(graph):
    system = BGRL(9, **SMALL)
    online, target = system.encoder.products[0].weights[0], system.target.products[0].weights[0]
    assert not torch.equal(online, target)
    system.training_step(graph())["loss"].backward()
    assert online.grad is not None
    assert all(p.grad is None and not p.requires_grad for p in system.target.parameters())
    assert any(key.startswith("target.") for key in system.state_dict())


def test_the_target_follows_each_step_with_the_momentum_of_the_schedule(graph):
    data, system = graph(), BGRL(9, **SMALL, momentum=0.9, momentum_epochs=4)
    first = [p.clone() for p in system.target.parameters()]
    system.on_epoch_start(0, data)
    assert all(torch.equal(a, b) for a, b in zip(first, system.target.parameters(), strict=True))
    for epoch in (1, 2, 4, 9):
        m = 1 - 0.1 * (1 + math.cos(math.pi * min(epoch, 4) / 4)) / 2
        want = [m * t + (1 - m) * o for t, o in zip(system.target.parameters(), system.encoder.parameters(), strict=True)]
        system.on_epoch_start(epoch, data)
        for got, expected in zip(system.target.parameters(), want, strict=True):
            torch.testing.assert_close(got.data, expected.data)


def test_training_moves_the_target_and_its_statistics_are_its_own(graph):
    torch.manual_seed(0)
    system = BGRL(9, **SMALL, momentum=0.5, momentum_epochs=50)
    before = [p.clone() for p in system.target.parameters()]
    state = Trainer(TrainingConfig(epochs=50, lr=1e-2, device="cpu")).fit(system, graph())
    assert state.history[-1]["loss"] < state.history[0]["loss"] - 0.5
    assert all(not torch.equal(a, b) for a, b in zip(before, system.target.parameters(), strict=True))
    assert not torch.equal(system.encoder.norms[0].running_mean, system.target.norms[0].running_mean)


@pytest.mark.parametrize("options", [{}, {"encoder": "sage"}, {"row_normalise": True}])
def test_it_is_sound(graph, sound, options):
    sound(lambda: BGRL(9, **SMALL, **options), graph(sparse=True, weighted=True))


def test_no_array_is_n_by_n(large, largest_array):
    assert largest_array(BGRL(16, **SMALL), large()) < 20_000 * 1_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "out_features must be >= 1; got 0"),
        ({"hidden": 0}, "hidden must be >= 1; got 0"),
        ({"predictor": 0}, "predictor must be >= 1; got 0"),
        ({"momentum_epochs": 0}, "momentum_epochs must be >= 1; got 0"),
        ({"momentum": 1.5}, r"momentum must lie in 0 \.\. 1.*got 1.5"),
        ({"drop_edge_2": 1.5}, r"drop_edge_2 .*lies in 0 \.\. 1; got 1.5"),
        ({"drop_feature_1": -0.5}, r"drop_feature_1 .*lies in 0 \.\. 1; got -0.5"),
        ({"encoder": "cnn"}, "unknown encoder 'cnn'"),
    ],
)
def test_hyper_parameters_out_of_range_are_named(options, message):
    with pytest.raises(InputError, match=message):
        BGRL(9, **options)
