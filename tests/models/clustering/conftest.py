"""Graphs with groups, and one step of a system."""

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.data import Data


@pytest.fixture
def blocks():
    def make(sizes=(11, 13, 7), f=6, weighted=False, isolated=0, seed=0):
        torch.manual_seed(seed)
        y = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
        y = torch.cat([y, torch.zeros(isolated, dtype=torch.int64)])
        n, known = len(y), sum(sizes)
        chance = torch.where(y[:known, None] == y[:known], 0.5, 0.03)
        edges = (torch.rand(known, known) < chance).triu(1).nonzero().T
        x = F.one_hot(y, f).float() + 0.3 * torch.randn(n, f)
        data = Data(x=x, edge_index=torch.cat([edges, edges.flip(0)], 1), y=y, num_nodes=n)
        if weighted:
            weight = torch.rand(edges.shape[1]) + 0.5
            data.edge_weight = torch.cat([weight, weight])
        return data

    return make


@pytest.fixture
def operator():
    """The dense row-normalised adjacency with self-loops, in double precision."""

    def make(data, self_loops=True):
        n = data.num_nodes
        weight = data.edge_weight.double() if "edge_weight" in data else torch.ones(data.edge_index.shape[1]).double()
        a = torch.zeros(n, n, dtype=torch.float64)
        a[data.edge_index[1], data.edge_index[0]] = weight
        if self_loops:
            a += torch.eye(n, dtype=torch.float64)
        return a / a.sum(1, keepdim=True).clamp(min=1e-30)

    return make


@pytest.fixture
def step():
    """Terms and gradients of one step."""

    def make(system, data):
        system.zero_grad(set_to_none=True)
        terms = system.training_step(data)
        terms["loss"].backward()
        return terms, {name: p.grad for name, p in system.named_parameters()}

    return make
