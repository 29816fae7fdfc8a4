import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from graphcl.errors import InputError
from graphcl.kernels import pair_tiles
from graphcl.losses import InfoNCE
from graphcl.losses.cwcl import CWCL

F64 = torch.float64
A = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64)
B = torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64)
KERNELS = ["affine", "linear", "exponential"]


def views(n, d, f=3):
    torch.manual_seed(0)
    return torch.randn(n, d, dtype=F64), torch.randn(n, d, dtype=F64), torch.rand(n, f, dtype=F64)


def pair_weights(features, kernel, bandwidth=0.1):
    q = F.normalize(features, dim=1)
    if kernel == "linear":
        return features @ features.T
    return (1 + q @ q.T) / 2 if kernel == "affine" else ((q @ q.T - 1) / bandwidth).exp()


def dense(z1, z2, weights, t):
    """Per anchor: the weighted way, and the way back."""
    logits = F.normalize(z1, dim=1) @ F.normalize(z2, dim=1).T / t
    targets = weights / weights.sum(1, keepdim=True)
    return logits.logsumexp(1) - (targets * logits).sum(1), logits.logsumexp(0) - logits.diagonal()


def test_it_has_its_golden_value():
    assert CWCL(0.5, symmetric="off")(A, B).item() == pytest.approx(1.4208561283, abs=1e-9)
    assert CWCL(0.5, symmetric="off")(A, B, features=A).item() == pytest.approx(1.4208561283, abs=1e-9)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("n", [2, 13])
def test_it_is_the_dense_formula_with_weights(kernel, n):
    z1, z2, features = views(n, 5)
    if kernel != "linear":
        features = features - 0.5
    weight = torch.rand(n, dtype=F64)
    there, back = ((weight * terms).sum() / weight.sum() for terms in dense(z1, z2, pair_weights(features, kernel), 0.2))
    for symmetric, want in (("off", there), ("sum", there + back), ("mean", (there + back) / 2)):
        loss = CWCL(0.2, kernel=kernel, symmetric=symmetric)
        torch.testing.assert_close(loss(z1, z2, features=features, weight=weight), want)


@pytest.mark.parametrize("symmetric", ["mean", "off"])
def test_features_of_which_no_two_are_alike_give_infonce(symmetric):
    z1, z2, _ = views(7, 5)
    want = InfoNCE(0.2, symmetric=symmetric)(z1, z2)
    identity = torch.eye(7, dtype=F64)
    torch.testing.assert_close(CWCL(0.2, kernel="linear", symmetric=symmetric)(z1, z2, features=3 * identity), want)
    sharp = CWCL(0.2, kernel="exponential", bandwidth=1e-3, symmetric=symmetric)
    torch.testing.assert_close(sharp(z1, z2, features=identity), want)
    opposite = torch.tensor([[2.0], [-1.0]], dtype=F64)  # the affine weights of these two are the identity
    want = InfoNCE(0.2, symmetric=symmetric)(z1[:2], z2[:2])
    torch.testing.assert_close(CWCL(0.2, symmetric=symmetric)(z1[:2], z2[:2], features=opposite), want)


@pytest.mark.parametrize("kernel", KERNELS)
def test_equal_features_give_uniform_targets(kernel):
    z1, z2, _ = views(7, 5)
    logits = F.normalize(z1, dim=1) @ F.normalize(z2, dim=1).T / 0.2
    want = (logits.logsumexp(1) - logits.mean(1)).mean()
    same = torch.ones(7, 2, dtype=F64)
    torch.testing.assert_close(CWCL(0.2, kernel=kernel, symmetric="off")(z1, z2, features=same), want)


def test_classes_as_linear_features_average_over_the_rows_of_a_label():
    z1, z2, _ = views(7, 5)
    labels = torch.tensor([0, 1, 1, 2, 0, 1, 0])
    own = (labels[:, None] == labels).to(F64)
    want = dense(z1, z2, own, 0.2)[0].mean()
    one_hot = F.one_hot(labels).to(F64)
    torch.testing.assert_close(CWCL(0.2, kernel="linear", symmetric="off")(z1, z2, features=one_hot), want)


@pytest.mark.parametrize("kernel", KERNELS)
def test_order_and_rotation_do_not_matter(kernel):
    z1, z2, features = views(7, 5)
    order = torch.randperm(7)
    turn = torch.linalg.qr(torch.randn(5, 5, dtype=F64)).Q
    loss = CWCL(kernel=kernel)
    got = loss(3 * z1[order] @ turn, z2[order] @ turn, features=2 * features[order])
    torch.testing.assert_close(got, loss(z1, z2, features=features))


@pytest.mark.parametrize("kernel", KERNELS)
def test_gradients_are_right_and_none_goes_to_the_features(kernel):
    z1, z2, features = (t.requires_grad_() for t in views(5, 4))
    weight = torch.rand(5, dtype=F64).requires_grad_()
    loss = CWCL(0.5, kernel=kernel)
    assert gradcheck(lambda a, b, w: loss(a, b, features=features, weight=w), (z1, z2, weight))
    assert torch.autograd.grad(loss(z1, z2, features=features), features, allow_unused=True) == (None,)


def test_the_first_view_as_features_is_a_constant():
    z1, z2, _ = views(5, 4)
    z1.requires_grad_()
    slopes = [torch.autograd.grad(CWCL()(z1, z2, features=given), z1)[0] for given in (None, z1.detach().clone())]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("rows", [1, 3, 16])
def test_blocks_of_any_size_give_the_same(monkeypatch, kernel, rows):
    z1, z2, features = views(7, 4)
    z2.requires_grad_()
    want = CWCL(kernel=kernel)(z1, z2, features=features)
    slope = torch.autograd.grad(want, z2)
    monkeypatch.setattr(pair_tiles, "TILE_BYTES", 1)
    monkeypatch.setattr(pair_tiles, "MIN_ROWS", rows)
    got = CWCL(kernel=kernel)(z1, z2, features=features)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(torch.autograd.grad(got, z2), slope)


@pytest.mark.parametrize("kernel", ["affine", "exponential"])
def test_rows_of_zeros_and_small_temperatures_stay_finite(kernel):
    z1, z2, features = (t.float() for t in views(5, 4))
    z1[1] = features[2] = 0
    z1.requires_grad_()
    loss = CWCL(1e-3, kernel=kernel, bandwidth=1e-3)(z1, z2, features=features)
    (slope,) = torch.autograd.grad(loss, z1)
    assert loss.isfinite()
    assert slope.isfinite().all()
    assert (slope[1] == 0).all()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(kernel, dtype):
    z1, z2, features = views(31, 8)
    got = CWCL(0.5, kernel=kernel)(z1.to(dtype), z2.to(dtype), features=features.to(dtype))
    assert got.dtype == torch.float32
    want = CWCL(0.5, kernel=kernel)(z1, z2, features=features)
    torch.testing.assert_close(got.double(), want, rtol=2e-2, atol=2e-2)


def test_what_makes_no_sense_is_named():
    with pytest.raises(InputError, match="kernel must be 'affine', 'linear' or 'exponential'; got 'rbf'"):
        CWCL(kernel="rbf")
    with pytest.raises(InputError, match=r"bandwidth must be a finite number >= 1e-4.*got 0"):
        CWCL(bandwidth=0.0)
    with pytest.raises(InputError, match="symmetric must be 'mean', 'sum' or 'off'; got 'both'"):
        CWCL(symmetric="both")
    with pytest.raises(InputError, match="temperature must be > 0"):
        CWCL(0.0)
    with pytest.raises(InputError, match="at least 2 rows"):
        CWCL()(A[:1], B[:1])
    with pytest.raises(InputError, match=r"features must be a floating \(4, F\) matrix.*got torch.float64 \(3, 3\)"):
        CWCL()(A, B, features=A[:3])
    with pytest.raises(InputError, match="features have a value that is not finite"):
        CWCL()(A, B, features=A / 0)
    with pytest.raises(InputError, match=r"features of the linear kernel must be >= 0.*got -1"):
        CWCL(kernel="linear")(A, B, features=-A)
    with pytest.raises(InputError, match="row 1 of the features is zero, so under the linear kernel it has no positive"):
        CWCL(kernel="linear")(A, B, features=A * torch.tensor([[1], [0], [1], [1]]))


def test_it_prints_what_it_is():
    assert repr(CWCL()) == "CWCL(temperature=0.07, kernel='affine', symmetric='mean')"
    assert repr(CWCL(kernel="exponential")) == "CWCL(temperature=0.07, kernel='exponential', bandwidth=0.1, symmetric='mean')"
