"""Graphs with two communities, and what every system of nodes has to do."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch_geometric.data import Data

from graphcl.augment import DropEdges, MaskFeatures
from graphcl.training import HasEpochStart, Trainer, TrainingConfig


@pytest.fixture
def graph():
    """Features hint at the communities; the last node is isolated."""

    def make(n=23, f=9, *, sparse=False, weighted=False):
        numbers = torch.Generator().manual_seed(0)
        y = (torch.arange(n) >= n // 2).long()
        near = (torch.rand(n, n, generator=numbers) < torch.where(y[:, None] == y, 0.4, 0.05)).triu(1)
        near[:, -1] = False
        edges = near.nonzero().T
        weight = torch.rand(edges.size(1), generator=numbers) + 0.5
        x = (torch.rand(n, f, generator=numbers) - 0.5).relu() + F.one_hot(y, f)
        data = Data(x=x.to_sparse_csr() if sparse else x, edge_index=torch.cat([edges, edges.flip(0)], 1), y=y)
        if weighted:
            data.edge_weight = torch.cat([weight, weight])
        return data

    return make


@pytest.fixture
def drawn():
    """Views by transforms, in the order in which a system draws them; torch's generator has to be seeded before."""

    def make(data, rates, symmetric=False):
        return [MaskFeatures(feature)(DropEdges(edge, symmetric=symmetric)(data)) for edge, feature in rates]

    return make


@pytest.fixture
def encoded():
    """What an encoder makes of a graph."""

    def make(encoder, view):
        return encoder(view.x, view.edge_index, view.edge_weight if "edge_weight" in view else None)

    return make


@pytest.fixture
def same_step():
    """Asserts that a step has this loss and its gradients."""

    def check(system, loss, want):
        torch.testing.assert_close(loss.double(), want, rtol=1e-5, atol=1e-5)
        parameters = [p for p in system.parameters() if p.requires_grad]
        ours, theirs = (torch.autograd.grad(value, parameters) for value in (loss, want))
        for got, expected in zip(ours, theirs, strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4)

    return check


@pytest.fixture
def sound():
    """Asserts what holds for every system, given how to make one."""

    def check(make, data):
        torch.manual_seed(0)
        system = make()
        before = {key: _dense(value).clone() for key, value in data.to_dict().items()}
        if isinstance(system, HasEpochStart):
            system.on_epoch_start(0, data)
        system.training_step(data)["loss"].backward()
        z = system.embed(data)
        assert all(torch.equal(_dense(data[key]), value) for key, value in before.items())
        assert set(data.to_dict()) == set(before)
        assert system.training
        assert not z.requires_grad
        assert len(z) == data.num_nodes
        _no_order(system, data, z)
        torch.manual_seed(1)
        other = make()
        other.load_state_dict(system.state_dict())
        assert torch.equal(other.embed(data), z)
        _resumes(make, data)

    return check


def _no_order(system, data, z):
    order = torch.randperm(data.num_nodes)
    moved = Data(x=_dense(data.x)[order], edge_index=order.argsort()[data.edge_index])
    if "edge_weight" in data:
        moved.edge_weight = data.edge_weight
    torch.testing.assert_close(system.embed(moved), z[order], rtol=1e-4, atol=1e-5)


def _dense(x):
    return x if x.layout == torch.strided else x.to_dense()


def _resumes(make, data):
    """A run that is cut and taken up again, with a new system, ends with the same bits."""
    torch.manual_seed(5)
    whole, trainer = make(), Trainer(TrainingConfig(epochs=6, device="cpu"))
    trainer.fit(whole, data)
    torch.manual_seed(5)
    cut = make()
    state = Trainer(TrainingConfig(epochs=3, device="cpu")).fit(cut, data)
    numbers = torch.get_rng_state()
    resumed = make()
    resumed.load_state_dict(copy.deepcopy(cut.state_dict()))
    fresh = trainer.start(resumed)
    fresh.optimizer.load_state_dict(state.optimizer.state_dict())
    fresh.epoch = state.epoch
    torch.set_rng_state(numbers)
    trainer.fit(resumed, data, fresh)
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True))
    assert torch.equal(whole.embed(data), resumed.embed(data))


@pytest.fixture
def largest_array():
    """Bytes of the largest array that a step of a system makes, backward pass included."""

    def measure(system, data):
        with _Largest() as seen:
            system.training_step(data)["loss"].backward()
        return seen.bytes

    return measure


class _Largest(TorchDispatchMode):
    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided:
                self.bytes = max(self.bytes, tensor.untyped_storage().nbytes())
        return out


@pytest.fixture
def large():
    """20,000 nodes on a ring, 16 features."""

    def make(n=20_000):
        numbers = torch.Generator().manual_seed(0)
        ring = torch.stack([torch.arange(n), (torch.arange(n) + 1) % n])
        return Data(x=torch.rand(n, 16, generator=numbers), edge_index=torch.cat([ring, ring.flip(0)], 1))

    return make
