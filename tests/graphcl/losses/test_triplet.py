import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphcl.errors import InputError
from graphcl.losses.triplet import Triplet

F64 = torch.float64
KINDS = [
    {"mining": mining, "over": over, "distance": distance}
    for mining in ("all", "hard", "semi_hard")
    for over in ("all", "active")
    for distance in ("euclidean", "squared")
] + [
    {"reduce_first": True, "over": over, "distance": distance}
    for over in ("all", "active")
    for distance in ("euclidean", "squared")
]


def rows(n, d, seed=0):
    torch.manual_seed(seed)
    return torch.randn(n, d, dtype=F64)


def written_out(a, b, same, itself, margin, mining="all", over="all", distance="euclidean", reduce_first=False):
    """Every triplet by a loop."""
    square = (a[:, None] - b).square().sum(2)
    d = square if distance == "squared" else torch.where(square == 0, 0.0, torch.where(square == 0, 1.0, square).sqrt())
    hinges, counted = [], []
    for i in range(len(a)):
        positive = [j for j in range(len(b)) if same[i, j] and not (itself and i == j)]
        negative = [j for j in range(len(b)) if not same[i, j]]
        if not positive or not negative:
            continue
        if reduce_first:
            gaps = [d[i, positive].mean() - d[i, negative].mean()]
        elif mining == "hard":
            gaps = [d[i, positive].max() - d[i, negative].min()]
        else:
            gaps = [d[i, p] - d[i, n] for p, n in itertools.product(positive, negative)]
        for gap in gaps:
            counts = bool(gap + margin > 0) and (mining != "semi_hard" or bool(gap < 0))
            hinges.append((gap + margin).clamp(min=0) if counts else 0 * gap)
            counted.append(counts)
    return torch.stack(hinges).sum() / (len(hinges) if over == "all" else max(1, sum(counted)))


def worked_rows():
    a = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64)
    return a, torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64)


def test_worked_values():
    assert Triplet()(*worked_rows()).item() == pytest.approx(0.3502878408, abs=1e-9)
    assert Triplet(reduce_first=True)(*worked_rows()).item() == pytest.approx(0.3080034962, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
@pytest.mark.parametrize("way", ["labelled", "itself", "rows"])
@pytest.mark.parametrize("margin", [0.3, 2.0])
def test_value_and_gradients_are_those_of_every_triplet_written_out(kind, way, margin):
    a, b = rows(11, 3).requires_grad_(), rows(7 if way == "labelled" else 11, 3, seed=1).requires_grad_()
    labels, theirs = torch.randint(0, 3, (11,)), torch.randint(0, 4, (7,))
    labels[0] = 9  # nobody else's
    loss = Triplet(margin=margin, **kind)
    if way == "labelled":
        got, want = loss(a, b, labels, theirs), written_out(a, b, labels[:, None] == theirs, False, margin, **kind)
    elif way == "itself":
        b = a
        got, want = loss(a, a, labels), written_out(a, a, labels[:, None] == labels, True, margin, **kind)
    else:
        got, want = loss(a, b), written_out(a, b, torch.eye(11, dtype=torch.bool), False, margin, **kind)
    assert want > 0 or kind.get("mining") == "semi_hard"
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)
    for mine, naive in zip(torch.autograd.grad(got, (a, b)), torch.autograd.grad(want, (a, b)), strict=True):
        torch.testing.assert_close(mine, naive, rtol=1e-10, atol=1e-12)


@given(st.integers(2, 8), st.integers(0, 10_000), st.sampled_from(["all", "hard"]))
@settings(max_examples=40, deadline=None)
def test_ties_and_duplicates_on_a_grid_count_as_written_out(n, seed, mining):
    torch.manual_seed(seed)
    a, b = torch.randint(-1, 2, (n, 2)).to(F64).requires_grad_(), torch.randint(-1, 2, (n, 2)).to(F64)
    labels = torch.arange(n) % 2
    kind = {"mining": mining, "distance": "squared"}
    got, want = Triplet(**kind)(a, b, labels), written_out(a, b, labels[:, None] == labels, False, 1.0, **kind)
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS[::2], ids=lambda kind: "-".join(map(str, kind.values())))
def test_gradients_are_right(kind):
    labels = torch.tensor([0, 0, 1, 1, 1])
    inputs = rows(5, 4).requires_grad_(), rows(5, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: Triplet(margin=1.3, **kind)(a, b, labels), inputs)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def test_rotation_shift_and_order_change_nothing(kind):
    z, labels = rows(9, 3), torch.arange(9) % 3
    loss = Triplet(**kind)
    want, rotation = loss(z, z, labels), torch.linalg.qr(rows(3, 3, seed=5)).Q
    moved, shuffled, order = z @ rotation + 100, torch.randperm(9), torch.randperm(9)
    torch.testing.assert_close(loss(moved, moved, labels), want)
    torch.testing.assert_close(loss(z[order], z[shuffled], labels[order], labels[shuffled]), loss(z, z.clone(), labels))


def test_closed_forms():
    a = torch.tensor([[0.0]], dtype=F64)
    b, labels = torch.tensor([[1.0], [1.5], [3.0]], dtype=F64), torch.tensor([0, 1, 1])
    assert Triplet()(a, b, labels[:1], labels).item() == pytest.approx(0.5 / 2)
    assert Triplet(over="active")(a, b, labels[:1], labels).item() == pytest.approx(0.5)
    assert Triplet(mining="hard")(a, b, labels[:1], labels).item() == pytest.approx(0.5)
    assert Triplet(distance="squared", margin=2.0)(a, b, labels[:1], labels).item() == pytest.approx(0.75 / 2)
    assert Triplet(margin=0.1, over="active")(a, b, labels[:1], labels).item() == 0


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_all_equal_rows_are_worth_the_margin_and_pull_nowhere(kind, dtype):
    z = (torch.ones(6, 3, dtype=dtype) * torch.tensor([0.1, 7.3, -1e3], dtype=dtype)).requires_grad_()
    loss = Triplet(margin=0.5, **kind)(z, z, torch.arange(6) % 2)
    loss.backward()
    assert loss.item() == pytest.approx(0.0 if kind.get("mining") == "semi_hard" else 0.5)
    assert z.grad.abs().max() == 0


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def test_zero_rows_and_extreme_rows_stay_finite(kind):
    z = (1e4 * rows(6, 3).float()).index_fill(0, torch.tensor([0, 3]), 0.0).requires_grad_()
    loss = Triplet(**kind)(z, z, torch.arange(6) % 2)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(z.grad).all()


def test_duplicates_among_other_rows_are_at_distance_zero_and_pull_nowhere():
    z = rows(40, 64).float()
    anchors, candidates = z.clone().requires_grad_(), z.clone()
    labels = torch.arange(40)
    loss = Triplet(margin=20.0)(anchors, candidates, labels)  # the only positive of a row is its duplicate
    loss.backward()
    d = torch.cdist(z.double(), z.double(), compute_mode="donot_use_mm_for_euclid_dist")
    others = ~torch.eye(40, dtype=torch.bool)
    torch.testing.assert_close(loss.item(), (20 - d[others]).mean().item(), rtol=1e-6, atol=0)
    push = ((z.double()[None] - z.double()[:, None]) / d.masked_fill(~others, 1.0)[..., None]).sum(1) / (40 * 39)
    torch.testing.assert_close(anchors.grad.double(), push, rtol=1e-4, atol=1e-7)


def test_close_points_far_from_the_origin_keep_their_distances():
    z, labels = rows(8, 3).float(), torch.arange(8) % 2
    far = z + torch.tensor([1e3, 0.0, 0.0])
    torch.testing.assert_close(Triplet()(far, far, labels), Triplet()(z, z, labels), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32_under_autocast_too(dtype):
    z, labels = rows(8, 3).to(dtype), torch.arange(8) % 2
    want = Triplet()(z.double(), z.double().clone(), labels).float()
    torch.testing.assert_close(Triplet()(z, z.clone(), labels), want, rtol=1e-5, atol=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(Triplet()(z, z.clone(), labels), want, rtol=1e-5, atol=0)


def test_an_anchor_without_a_partner_is_left_out():
    z, labels = rows(6, 3), torch.tensor([0, 0, 1, 1, 2, 2])
    lonely = torch.cat([z, rows(1, 3, seed=3)]), torch.tensor([0, 0, 1, 1, 2, 2, 7])
    for kind in KINDS:
        loss = Triplet(**kind)
        want = written_out(lonely[0], lonely[0], lonely[1][:, None] == lonely[1], True, 1.0, **kind)
        torch.testing.assert_close(loss(lonely[0], lonely[0], lonely[1]), want)
        torch.testing.assert_close(loss(lonely[0], z, lonely[1], labels), loss(z, z.clone(), labels))


def test_memory_stays_far_below_that_of_all_triplets():
    n = 300
    z = torch.randn(n, 4, requires_grad=True)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.numel()) or t, lambda t: t):
        Triplet()(z, z, torch.arange(n) % 3).backward()
    assert sum(saved) < 20 * n * n


def test_what_cannot_be_used_is_named():
    for options, message in [
        ({"margin": 0.0}, "margin must be > 0, .* got 0.0"),
        ({"distance": "cosine"}, "distance must be 'euclidean' or 'squared'; got 'cosine'"),
        ({"mining": "easy"}, "mining must be 'all', 'hard' or 'semi_hard'; got 'easy'"),
        ({"over": "some"}, "over must be 'all' or 'active'; got 'some'"),
        ({"reduce_first": True, "mining": "hard"}, "mining must be 'all'; got 'hard'"),
    ]:
        with pytest.raises(InputError, match=message):
            Triplet(**options)
    z, labels = rows(4, 3), torch.tensor([0, 0, 1, 1])
    with pytest.raises(InputError, match=r"must share D; got \(4, 3\) and \(4, 2\)"):
        Triplet()(z, z[:, :2])
    with pytest.raises(InputError, match=r"one dtype; got torch.float64 and torch.float32"):
        Triplet()(z, z.float())
    with pytest.raises(InputError, match=r"got 4 anchors and 3 candidates. Give labels"):
        Triplet()(z, z[:3])
    with pytest.raises(InputError, match="without labels"):
        Triplet()(z, z)
    with pytest.raises(InputError, match=r"one label per row; got labels \(3,\) and \(3,\) for 4 anchors and 4"):
        Triplet()(z, z.clone(), labels[:3])
    for hopeless in (torch.zeros(4), torch.arange(4)):
        with pytest.raises(InputError, match="no triplet: draw batches with at least two classes"):
            Triplet()(z, z, hopeless)
    with pytest.raises(InputError, match=r"candidates has a value that is not finite at \(0, 0\)"):
        Triplet()(z, z / 0, labels)


def test_it_prints_what_it_is():
    assert repr(Triplet()) == "Triplet(margin=1, distance=euclidean, mining=all, over=all)"
    assert repr(Triplet(reduce_first=True)) == "Triplet(margin=1, distance=euclidean, reduce_first, over=all)"
