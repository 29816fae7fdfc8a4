from __future__ import annotations

import torch

from graphcl.training import Trainer, TrainingConfig
from graphcl.training.tensor_file import read_tensor_file, write_tensor_file


def test_a_state_that_went_through_a_file_goes_on_to_the_same_bits(make_system, points, tmp_path):
    whole, halves = make_system(), make_system()
    torch.manual_seed(3)
    want = Trainer(TrainingConfig(epochs=10, lr=0.05, device="cpu")).fit(whole, points)
    torch.manual_seed(3)
    state = Trainer(TrainingConfig(epochs=5, lr=0.05, device="cpu")).fit(halves, points)
    write_tensor_file(tmp_path / "x", state.state_dict(), {})
    trainer = Trainer(TrainingConfig(epochs=10, lr=0.05, device="cpu"))
    fresh = trainer.start(halves)
    fresh.load_state_dict(read_tensor_file(tmp_path / "x")[0])
    assert (fresh.epoch, fresh.stopped, fresh.ended, fresh.seconds) == (5, False, True, state.seconds)
    assert trainer.fit(halves, points, fresh).history == want.history
    for name, value in whole.state_dict().items():
        assert torch.equal(value, halves.state_dict()[name]), name


def test_the_state_of_an_end_is_without_the_optimiser_and_leaves_that_of_the_reader_alone(make_system, points):
    trainer = Trainer(TrainingConfig(epochs=2, device="cpu"))
    state = trainer.fit(make_system(), points)
    kept = state.state_dict(optimizer=False)
    assert kept["optimizer"] is kept["scaler"] is None
    fresh = trainer.start(make_system())
    fresh.load_state_dict(kept)
    assert fresh.epoch == 2
    assert fresh.optimizer.state == {}
