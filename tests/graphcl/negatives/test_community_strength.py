import networkx as nx
import pytest
import torch
from networkx.algorithms.community import modularity

from graphcl.errors import InputError
from graphcl.losses import InfoNCE
from graphcl.negatives import ColumnBias, community_strength


def karate():
    graph = nx.karate_club_graph()
    return graph, torch.tensor(list(graph.edges)).T, torch.tensor([int(v) % 4 for v in graph])


def test_the_strengths_of_the_communities_add_up_to_the_modularity():
    graph, edges, assignment = karate()
    strength = community_strength(edges, assignment)
    members = [set((assignment == c).nonzero().squeeze(1).tolist()) for c in range(4)]
    total = sum(strength[min(group)].item() for group in members)
    assert total == pytest.approx(modularity(graph, members, weight=None), abs=1e-6)


def test_it_is_the_formula():
    # A triangle and an edge, joined by one edge: five edges in all.
    edges = torch.tensor([[0, 1, 2, 2, 3], [1, 2, 0, 3, 4]])
    strength = community_strength(edges, torch.tensor([7, 7, 7, 2, 2]))
    torch.testing.assert_close(strength, torch.tensor([3 / 5 - 0.7**2] * 3 + [1 / 5 - 0.3**2] * 2))


def test_edges_may_be_listed_once_or_in_both_directions():
    _, edges, assignment = karate()
    both = torch.cat([edges, edges.flip(0)], 1)
    torch.testing.assert_close(community_strength(both, assignment), community_strength(edges, assignment))


def test_everybody_in_one_community_is_no_stronger_than_chance():
    _, edges, assignment = karate()
    assert community_strength(edges, torch.zeros_like(assignment)).tolist() == [0.0] * 34


def test_it_biases_the_candidates_of_a_team_up():
    _, edges, assignment = karate()
    strength = community_strength(edges, assignment)
    torch.manual_seed(0)
    z1, z2 = torch.randn(34, 5), torch.randn(34, 5)
    u1, u2 = torch.nn.functional.normalize(z1), torch.nn.functional.normalize(z2)
    logits = (u1 @ u2.T + 2.0 * (strength[:, None] + strength)) / 0.5
    want = ((logits.logsumexp(1) + logits.logsumexp(0)) / 2 - logits.diagonal()).mean()
    team_up = InfoNCE(0.5, negatives=ColumnBias(2.0 * strength, tempered=True))
    torch.testing.assert_close(team_up(z1, z2), want)


@pytest.mark.parametrize(
    ("edges", "assignment", "message"),
    [
        (torch.zeros(2, 0, dtype=torch.int64), torch.zeros(3, dtype=torch.int64), "at least one edge"),
        (torch.tensor([[0], [3]]), torch.zeros(3, dtype=torch.int64), r"edges must join nodes 0 .. 2.*got 0 .. 3"),
        (torch.tensor([[0], [1]]), torch.zeros(3), "integers >= 0"),
        (torch.tensor([[0], [1]]), torch.tensor([0, -1, 0]), "integers >= 0"),
    ],
)
def test_what_is_no_graph_or_no_community_is_named(edges, assignment, message):
    with pytest.raises(InputError, match=message):
        community_strength(edges, assignment)
