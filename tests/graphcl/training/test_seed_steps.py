from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric.data import Data

from graphcl.training import NodeBatches, SeedSteps, Trainer, TrainingConfig


class Embeds(nn.Module):
    """Notes how many rows its encoder gives, in and outside of steps, and which steps it was told of."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.target = nn.Linear(2, 3), nn.Linear(2, 3)
        self.told: list[tuple[int, int]] = []
        self.rows: list[tuple[int, int]] = []
        self.ended = 0

    def on_epoch_start(self, epoch, data):
        self.told.append((epoch, len(self.encoder(data.x))))

    def on_fit_end(self, data):
        self.ended = len(self.encoder(data.x))

    def training_step(self, batch):
        z, t = self.encoder(batch.x), self.target(batch.x)
        self.rows.append((len(z), len(t)))
        return {"loss": (z - t.detach()).square().mean()}


def ring(nodes=12):
    ids = torch.arange(nodes)
    both = torch.cat([torch.stack([ids, (ids + 1) % nodes]), torch.stack([(ids + 1) % nodes, ids])], 1)
    return Data(x=torch.randn(nodes, 2, generator=torch.Generator().manual_seed(1)), edge_index=both)


def test_steps_and_what_comes_before_them_are_about_the_seeds_and_steps_are_counted_through():
    system = Embeds()
    source = NodeBatches(ring(), 4, fanouts=(1,))
    Trainer(TrainingConfig(epochs=2, device="cpu")).fit(SeedSteps(system, source.steps), source)
    assert system.rows == [(4, 4)] * 6
    assert system.told == [(step, 4) for step in range(6)]
    assert system.ended == 12, "nothing is cut outside of steps"


def test_the_gradient_is_that_of_the_loss_of_the_seeds():
    batch = next(NodeBatches(ring(), 4, fanouts=(1,)).batches(0))
    system = Embeds()
    SeedSteps(system, 1).training_step(batch)["loss"].backward()
    alone = Embeds()
    alone.training_step(Data(x=batch.x[:4]))["loss"].backward()
    torch.testing.assert_close(system.encoder.weight.grad, alone.encoder.weight.grad)


def test_a_run_that_goes_on_counts_on_and_a_refused_step_leaves_the_encoder_whole():
    system = Embeds()
    steps = SeedSteps(system, 3)
    steps.on_epoch_start(5, None)
    batch = next(NodeBatches(ring(), 4).batches(0))
    steps.training_step(batch)
    assert system.told[-1][0] == 15
    system.training_step = None
    with pytest.raises(TypeError):
        steps.training_step(batch)
    assert len(system.encoder(torch.zeros(9, 2))) == 9


def test_everything_else_is_the_systems_own():
    system = Embeds()
    steps = SeedSteps(system, 3)
    assert list(steps.parameters()) == list(system.parameters())
    steps.eval()
    assert not system.training
    steps.train()
    assert system.training
    state = {name: torch.zeros_like(value) for name, value in steps.state_dict().items()}
    steps.load_state_dict(state)
    assert not system.encoder.weight.any()
