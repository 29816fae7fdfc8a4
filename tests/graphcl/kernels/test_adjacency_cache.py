import gc

import torch
from torch_geometric.data import Data

from graphcl.kernels import adjacency_cache
from graphcl.kernels.adjacency_cache import cached_adjacency
from graphcl.kernels.propagate import propagate


def test_a_loop_over_one_graph_normalises_once_and_leaves_it_alone():
    data = Data(edge_index=torch.tensor([[0, 1, 2], [1, 2, 0]]), num_nodes=3)
    before = data.to_dict().copy()
    first = cached_adjacency(data.edge_index, 3)
    assert cached_adjacency(data.edge_index, 3) is first
    assert data.to_dict().keys() == before.keys()


def test_options_and_weights_have_entries_of_their_own():
    edge_index, weight = torch.tensor([[0, 1], [1, 0]]), torch.tensor([1.0, 2.0])
    made = [
        cached_adjacency(edge_index, 2),
        cached_adjacency(edge_index, 3),
        cached_adjacency(edge_index, 2, normalize="row"),
        cached_adjacency(edge_index, 2, normalize=None),
        cached_adjacency(edge_index, 2, self_loops=False),
        cached_adjacency(edge_index, 2, edge_weight=weight),
    ]
    assert len({id(adj) for adj in made}) == len(made)
    assert cached_adjacency(edge_index, 2, edge_weight=weight) is made[-1]


def test_edges_and_weights_written_to_in_place_are_read_again():
    edge_index, weight = torch.tensor([[0, 1], [1, 0]]), torch.tensor([1.0, 2.0])
    options = {"edge_weight": weight, "normalize": None, "self_loops": False}
    first = cached_adjacency(edge_index, 3, **options)
    weight[0] = 5.0
    second = cached_adjacency(edge_index, 3, **options)
    assert second.to_dense()[1, 0] == 5.0
    assert first.to_dense()[1, 0] == 1.0  # an operator is immutable, whatever happens to the weights it was made of
    edge_index[1, 0] = 2
    assert cached_adjacency(edge_index, 3, **options).to_dense()[2, 0] == 5.0


def test_the_adjacency_goes_when_the_edges_do():
    gc.collect()
    before = len(adjacency_cache._cache)
    edge_index = torch.tensor([[0, 1, 2], [1, 2, 0]])
    x = torch.randn(3, 2, requires_grad=True)
    propagate(cached_adjacency(edge_index, 3), x).sum().backward()
    propagate(cached_adjacency(edge_index, 3, normalize=None, self_loops=False), x).sum().backward()
    assert len(adjacency_cache._cache) == before + 2
    del edge_index
    gc.collect()
    assert len(adjacency_cache._cache) == before


def test_an_adjacency_made_while_evaluating_can_be_trained_with():
    edge_index = torch.tensor([[0, 1, 2, 2], [1, 2, 0, 1]])
    with torch.inference_mode():
        propagate(cached_adjacency(edge_index, 3), torch.randn(3, 2))
    x = torch.randn(3, 2, requires_grad=True)
    propagate(cached_adjacency(edge_index, 3), x).sum().backward()
    assert x.grad is not None
