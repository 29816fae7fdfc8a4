from __future__ import annotations

import pytest
import torch
from torch import nn

from graphcl.errors import InputError
from graphcl.models.clustering import PamC
from graphcl.training import load_weights, save_weights
from graphcl.training.tensor_file import write_tensor_file


def system(hidden=8, hops=1, k=3, seed=0):
    torch.manual_seed(seed)
    return PamC(5, k, hidden=hidden, width=4, hops=hops)


def test_weights_and_buffers_come_back_bit_for_bit(tmp_path):
    trained = system()
    trained.clustered.fill_(True)
    with torch.no_grad():
        trained.centres.normal_()
    save_weights(trained, tmp_path / "w")
    other = system(seed=1)
    load_weights(other, str(tmp_path / "w"))
    for name, value in trained.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (lambda: system(hidden=9), r"'encoder.first.weight' is \(8, 5\) float32 in it and \(9, 5\) float32 in the system"),
        (lambda: system(k=4), r"'centres' is \(3, 4\) float32 in it and \(4, 4\)"),
        (lambda: system().double(), r"'centres' is .* float32 in it and .* float64 in the system"),
        (lambda: nn.ModuleDict({"encoder": system().encoder}), "it holds 'centres', which the system has not"),
        (
            lambda: nn.ModuleDict({**dict(system().named_children()), "more": nn.Linear(1, 1)}),
            "'more.weight' is missing from it",
        ),
    ],
)
def test_weights_of_another_system_are_refused_by_the_first_that_differs_and_nothing_is_loaded(tmp_path, other, words):
    save_weights(system(), tmp_path / "w")
    target = other()
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with pytest.raises(InputError, match=f"w does not fit this system: {words}.*settings it was trained with"):
        load_weights(target, tmp_path / "w")
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


def test_a_file_that_holds_something_else_says_so(tmp_path):
    write_tensor_file(tmp_path / "c", {"x": torch.ones(1)}, {"kind": "checkpoint"})
    with pytest.raises(InputError, match=r"c holds a checkpoint, not weights; a run's weights are in its model.safetensors"):
        load_weights(system(), tmp_path / "c")
    with pytest.raises(InputError, match="cannot be read"):
        load_weights(system(), tmp_path / "missing")


def test_state_beyond_tensors_travels_along(tmp_path):
    class Draws(nn.Module):
        def __init__(self):
            super().__init__()
            self.generator = torch.Generator()

        def get_extra_state(self):
            return {"generator": self.generator.get_state()}

        def set_extra_state(self, state):
            self.generator.set_state(state["generator"])

    one, two = Draws(), Draws()
    one.generator.manual_seed(9)
    torch.rand(3, generator=one.generator)
    save_weights(one, tmp_path / "w")
    load_weights(two, tmp_path / "w")
    assert torch.equal(torch.rand(3, generator=one.generator), torch.rand(3, generator=two.generator))


def test_a_state_that_cannot_be_saved_leaves_the_old_file(tmp_path):
    save_weights(system(), tmp_path / "w")
    before = (tmp_path / "w").read_bytes()

    class Bad(nn.Module):
        def get_extra_state(self):
            return object()

    with pytest.raises(TypeError, match="'_extra_state' is a object, which cannot be saved"):
        save_weights(Bad(), tmp_path / "w")
    assert (tmp_path / "w").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["w"]
