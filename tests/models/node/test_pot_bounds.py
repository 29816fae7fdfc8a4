import itertools

import pytest
import torch
from torch_geometric.data import Data

from graphcl.errors import InputError
from graphcl.kernels import Adjacency
from graphcl.models.encoders import GCN, LayeredGCN
from graphcl.models.node.pot_bounds import (
    check_encoder,
    edge_bounds,
    edge_budget,
    gcn_steps,
    relax,
    sampled_bound,
    worst_bound,
)
from graphcl.models.node.view import DrawnView, View

SLOPES = [None, 0.25, 1.6, -0.3]


def graph(n, share=0.4, seed=0, *, weighted=False, directed=False):
    """``(edge_index, edge_weight)``; the last node is isolated."""
    numbers = torch.Generator().manual_seed(seed)
    near = torch.rand(n, n, generator=numbers) < share
    near = near & ~torch.eye(n, dtype=torch.bool) if directed else near.triu(1)
    near[-1], near[:, -1] = False, False
    edges = near.nonzero().T
    weight = torch.rand(edges.size(1), generator=numbers, dtype=torch.float64) + 0.5
    if not directed:
        edges, weight = torch.cat([edges, edges.flip(0)], 1), torch.cat([weight, weight])
    return edges, weight if weighted else None


def plain_of(edges, weight, n):
    weight = torch.ones(edges.size(1), dtype=torch.float64) if weight is None else weight
    return Adjacency.from_edge_index(edges, n, edge_weight=weight, normalize=None)


def dense(edges, weight, n):
    """``D^-1/2 (A + I) D^-1/2`` with rows for targets."""
    a = torch.eye(n, dtype=torch.float64)
    a[edges[1], edges[0]] += 1.0 if weight is None else weight
    root = a.sum(1).rsqrt()
    return root[:, None] * a * root


def within(edges, weight, budget, *, symmetric, numbers):
    """A view that has lost as much as it can, in a random order, without exceeding the budget of any node."""
    left, lost = torch.ones(edges.size(1), dtype=torch.bool), torch.zeros_like(budget)
    weight = torch.ones(edges.size(1), dtype=torch.float64) if weight is None else weight
    for e in torch.randperm(edges.size(1), generator=numbers)[: int(torch.randint(edges.size(1) + 1, (1,), generator=numbers))]:
        s, t = edges[:, e]
        both = ((edges[0] == t) & (edges[1] == s)) if symmetric else torch.zeros_like(left)
        both[e] = True
        cost = torch.zeros_like(lost).index_add_(0, edges[1, both], weight[both])
        if bool(left[e]) and bool((lost + cost <= budget + 1e-9)[cost > 0].all()):
            left, lost = left & ~both, lost + cost
    return edges[:, left], weight[left]


def network(slope, f=4, h=5, d=3):
    gcn = GCN(f, d, hidden=h, activation="relu" if slope is None else "prelu").double()
    for parameter in gcn.parameters():
        torch.nn.init.normal_(parameter)
    if slope is not None:
        torch.nn.init.constant_(gcn.activation.weight, slope)
    return gcn


def compactness(gcn, x, a, w):
    h = gcn.activation(a @ x @ gcn.weights[0] + gcn.biases[0])
    return (gcn.activation(a @ h @ gcn.weights[1] + gcn.biases[1]) * w).sum(1)


def both_bounds(gcn, bounds, x, a, w):
    """Sampled at a dense adjacency, and worst."""
    index = a.nonzero().T.flip(0)
    operator = Adjacency.from_edge_index(index, len(a), edge_weight=a[index[1], index[0]], normalize=None, self_loops=False)
    steps = gcn_steps(gcn, DrawnView(x, operator, None))
    torch.testing.assert_close((steps.z * w).sum(1), compactness(gcn, x, a, w))
    relaxed = relax(gcn, bounds, steps.product, w)
    return sampled_bound(gcn, relaxed, operator, steps.first), worst_bound(relaxed, bounds)


def by_loops(gcn, x, a, w, low_a, high_a):
    """The sampled bound, node after node and unit after unit, from whole matrices of bounds."""
    slope = 0.0 if isinstance(gcn.activation, torch.nn.ReLU) else gcn.activation.weight.item()
    w1, w2, b1, b2 = (p.detach() for p in (*gcn.weights, *gcn.biases))

    def lines(low, high):
        """slope, lower offset, upper offset"""
        if low >= 0:
            return 1.0, 0.0, 0.0
        if high <= 0:
            return slope, 0.0, 0.0
        s = float((high - slope * low) / (high - low))
        o = float((slope - 1) * high * low / (high - low))
        return s, min(o, 0.0), max(o, 0.0)

    def interval(low, high, bias):
        corners = torch.stack([a_[:, :, None] * h_[None] for a_ in (low_a, high_a) for h_ in (low, high)])
        return corners.amin(0).sum(1) + bias, corners.amax(0).sum(1) + bias

    def act(v):
        return torch.where(v >= 0, v, slope * v)

    low1, high1 = interval(x @ w1, x @ w1, b1)
    ends = torch.stack([act(low1), act(high1), act(torch.minimum(torch.maximum(low1, torch.zeros(())), high1))])
    low_h, high_h = ends.amin(0), ends.amax(0)
    corners = torch.stack([h[:, :, None] * w2[None] for h in (low_h, high_h)])
    low2, high2 = interval(corners.amin(0).sum(1), corners.amax(0).sum(1), b2)
    pre1 = a @ x @ w1 + b1
    out = []
    for i in range(len(x)):
        total, coefficients = 0.0, torch.zeros(len(w2), dtype=torch.float64)
        for k in range(w.size(1)):
            s, lower, upper = lines(low2[i, k], high2[i, k])
            total += float(w[i, k] * (s * b2[k]) + w[i, k] * (lower if w[i, k] >= 0 else upper))
            coefficients += w[i, k] * s * w2[:, k]
        for j in range(len(x)):
            for h, c in enumerate(coefficients):
                s, lower, upper = lines(low1[j, h], high1[j, h])
                total += float(a[i, j] * c * (s * pre1[j, h] + (lower if c >= 0 else upper)))
        out.append(total)
    return torch.tensor(out, dtype=torch.float64)


@pytest.mark.parametrize("slope", SLOPES)
def test_the_sampled_bound_is_the_closed_form_of_loops(slope):
    torch.manual_seed(0)
    n, (edges, weight) = 7, graph(7, weighted=True)
    x, w, gcn = torch.randn(n, 4).double(), torch.randn(n, 3).double(), network(slope)
    plain = plain_of(edges, weight, n)
    bounds = edge_bounds(plain, edge_budget(plain, edges, 0.4, weight))
    low, high = torch.zeros(2, n, n, dtype=torch.float64)
    at = plain.pattern.row.long(), plain.pattern.col.long()
    low[at], high[at] = bounds.floor, bounds.upper.values
    a = dense(edges, weight, n)
    got, _ = both_bounds(gcn, bounds, x, a, w)
    torch.testing.assert_close(got.detach(), by_loops(gcn, x, a, w, low, high))


@pytest.mark.parametrize("options", [{}, {"weighted": True}, {"directed": True}])
@pytest.mark.parametrize("symmetric", [False, True])
def test_every_view_within_the_budget_lies_between_the_bounds(options, symmetric):
    n, numbers = 12, torch.Generator().manual_seed(1)
    edges, weight = graph(n, **options)
    plain = plain_of(edges, weight, n)
    budget = edge_budget(plain, edges, 0.5, weight)
    bounds = edge_bounds(plain, budget)
    low, high = torch.zeros(2, n, n, dtype=torch.float64)
    at = plain.pattern.row.long(), plain.pattern.col.long()
    low[at], high[at] = bounds.floor, bounds.upper.values
    lower = bounds.lower.pattern
    assert lower.nnz == int((bounds.floor > 0).sum())
    assert torch.equal(low[lower.row.long(), lower.col.long()], bounds.lower.values)
    for _ in range(60):
        a = dense(*within(edges, weight, budget, symmetric=symmetric, numbers=numbers), n)
        assert bool((a >= low - 1e-12).all())
        assert bool((a <= high + 1e-12).all())


@pytest.mark.parametrize("slope", SLOPES)
@pytest.mark.parametrize("options", [{}, {"weighted": True}, {"directed": True}])
def test_no_view_within_the_budget_is_less_compact_than_its_bounds(slope, options):
    torch.manual_seed(2)
    n, numbers = 12, torch.Generator().manual_seed(1)
    for seed in range(3):
        edges, weight = graph(n, seed=seed, **options)
        plain, gcn = plain_of(edges, weight, n), network(slope)
        budget = edge_budget(plain, edges, 0.4, weight)
        bounds = edge_bounds(plain, budget)
        x, w = torch.randn(n, 4).double(), torch.randn(n, 3).double()
        for trial in range(15):
            view = within(edges, weight, budget, symmetric=trial % 2 == 0, numbers=numbers)
            a = dense(*view, n)
            value = compactness(gcn, x, a, w)
            sampled, worst = both_bounds(gcn, bounds, x, a, w)
            assert bool((sampled <= value + 1e-9).all())
            assert bool((worst <= value + 1e-9).all())


def test_the_worst_bound_is_below_every_view_of_a_tiny_graph():
    torch.manual_seed(3)
    n, edges = 5, torch.tensor([[0, 0, 1, 1, 2, 3], [1, 2, 2, 3, 3, 4]])
    both = torch.cat([edges, edges.flip(0)], 1)
    plain = plain_of(both, None, n)
    budget = edge_budget(plain, both, 0.5)
    assert budget.tolist() == [1, 2, 2, 2, 0]  # 1.5 to the even 2; the node with one edge keeps it
    x, w, gcn = torch.randn(n, 4).double(), torch.randn(n, 3).double(), network(0.25)
    least = torch.full((n,), torch.inf, dtype=torch.float64)
    for keep in itertools.product([False, True], repeat=edges.size(1)):
        kept = torch.tensor(keep)
        lost = torch.bincount(edges[:, ~kept].flatten(), minlength=n)
        if bool((lost <= budget).all()):
            left = torch.cat([edges[:, kept], edges[:, kept].flip(0)], 1)
            least = torch.minimum(least, compactness(gcn, x, dense(left, None, n), w).detach())
    _, worst = both_bounds(gcn, edge_bounds(plain, budget), x, dense(both, None, n), w)
    assert bool((worst <= least + 1e-12).all())


@pytest.mark.parametrize("slope", SLOPES)
def test_without_a_budget_both_bounds_are_the_compactness_itself(slope):
    torch.manual_seed(4)
    n, (edges, weight) = 9, graph(9, weighted=True)
    plain, gcn = plain_of(edges, weight, n), network(slope)
    x, w, a = torch.randn(n, 4).double(), torch.randn(n, 3).double(), dense(edges, weight, n)
    value = compactness(gcn, x, a, w)
    for bound in both_bounds(gcn, edge_bounds(plain, torch.zeros(n, dtype=torch.float64)), x, a, w):
        torch.testing.assert_close(bound, value)


def test_the_bound_falls_with_the_budget():
    torch.manual_seed(5)
    n, (edges, _) = 40, graph(40, 0.2)
    plain, gcn = plain_of(edges, None, n), network(None)
    x, w, a = torch.randn(n, 4).double(), torch.randn(n, 3).double(), dense(edges, None, n)
    means = [
        both_bounds(gcn, edge_bounds(plain, edge_budget(plain, edges, p)), x, a, w)[1].mean().item() for p in (0, 0.2, 0.5, 0.9)
    ]
    assert means == sorted(means, reverse=True)
    assert len(set(means)) == 4


@pytest.mark.parametrize("slope", [None, 0.25])
def test_gradients_go_through_everything_but_the_budget(slope):
    torch.manual_seed(6)
    n, (edges, _) = 6, graph(6, 0.6)
    plain, gcn = plain_of(edges, None, n), network(slope, h=3, d=2)
    bounds = edge_bounds(plain, edge_budget(plain, edges, 0.4))
    operator = Adjacency.from_edge_index(edges, n, edge_weight=torch.ones(edges.size(1), dtype=torch.float64))
    x, w = torch.randn(n, 4).double().requires_grad_(), torch.randn(n, 2).double().requires_grad_()
    parameters = tuple(gcn.parameters())

    def bound(x, w, *_):
        steps = gcn_steps(gcn, DrawnView(x, operator, None))
        relaxed = relax(gcn, bounds, steps.product, w)
        return sampled_bound(gcn, relaxed, operator, steps.first), worst_bound(relaxed, bounds)

    assert torch.autograd.gradcheck(bound, (x, w, *parameters), check_undefined_grad=False)


def test_nodes_without_anything_have_finite_gradients():
    gcn = GCN(4, 3, hidden=5)
    edges = torch.zeros(2, 0, dtype=torch.long)
    plain = Adjacency.from_edge_index(edges, 3, normalize=None)
    bounds = edge_bounds(plain, edge_budget(plain, edges, 0.5))
    steps = gcn_steps(gcn, DrawnView(torch.zeros(3, 4), plain, None))
    relaxed = relax(gcn, bounds, steps.product, torch.ones(3, 3))
    (sampled_bound(gcn, relaxed, plain, steps.first).sum() + worst_bound(relaxed, bounds).sum()).backward()
    assert all(p.grad.isfinite().all() for p in gcn.parameters())


@pytest.mark.parametrize("sparse", [False, True])
def test_the_steps_are_the_encoders_own(sparse):
    torch.manual_seed(7)
    edges, _ = graph(11)
    x = torch.rand(11, 4)
    data = Data(x=x.to_sparse_csr() if sparse else x, edge_index=edges)
    gcn, view = GCN(4, 3, hidden=5, activation="prelu"), View(0.3, 0.3).draw(data)
    torch.testing.assert_close(gcn_steps(gcn, view).z, view(gcn))


def test_the_budget_is_the_mean_loss_by_edge_and_never_all():
    edges, weight = torch.tensor([[1, 2, 3, 0, 0, 2], [0, 0, 0, 1, 2, 2]]), torch.tensor([4.0, 2.0, 1.0, 4.0, 2.0, 3.0])
    plain = Adjacency.from_edge_index(edges, 4, edge_weight=weight, normalize=None)
    assert edge_budget(plain, edges, 0.5, weight).tolist() == [4, 2, 1, 0]  # 3.5 to the even 4; 1 of 2 with a loop left out
    p = torch.tensor([1.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    assert edge_budget(plain, edges, p, weight).tolist() == [5, 3, 1, 0]
    plain = Adjacency.from_edge_index(edges, 4, normalize=None)
    assert edge_budget(plain, edges, 1.0).tolist() == [2, 0, 0, 0]


def test_what_has_no_bounds_is_refused():
    for encoder in (LayeredGCN(4, 3), GCN(4, 3, layers=3), GCN(4, 3, activate_last=False)):
        with pytest.raises(InputError, match="a GCN of two layers with an activation after both"):
            check_encoder(encoder)
    with pytest.raises(InputError, match=r"'relu' and 'prelu'.*got RReLU"):
        check_encoder(GCN(4, 3, activation="rrelu"))
    plain = plain_of(*graph(5), 5)
    for budget in (torch.zeros(3), -torch.ones(5), torch.full((5,), torch.nan)):
        with pytest.raises(InputError, match="budget must be finite and >= 0, one for each of 5 nodes"):
            edge_bounds(plain, budget)
    with pytest.raises(InputError, match="may not lose all that reaches it"):
        edge_bounds(plain, plain.degree)
