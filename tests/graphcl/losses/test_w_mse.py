import pytest
import torch

from graphcl.errors import InputError
from graphcl.losses.w_mse import WMSE

F64 = torch.float64
A = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64)
B = torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64)


def views(n, d, seed=0):
    torch.manual_seed(seed)
    return torch.randn(n, d, dtype=F64), torch.randn(n, d, dtype=F64)


def test_it_is_the_formula_on_one_batch():
    z1, z2 = views(11, 4)
    white = []
    for z in (z1, z2):
        factor = torch.linalg.cholesky(0.9 * torch.cov(z.T) + 0.1 * torch.eye(4))
        white.append((z - z.mean(0)) @ torch.linalg.inv(factor).T)
    want = (2 - 2 * torch.nn.functional.cosine_similarity(*white)).mean()
    torch.testing.assert_close(WMSE(size=11, eps=0.1)(z1, z2), want)
    torch.testing.assert_close(WMSE(eps=0.1)(z1, z2), want)  # 11 rows are one sub-batch of at least 8


def test_partitions_are_averaged_row_by_row():
    z1, z2 = views(13, 2)
    got = WMSE(size=4, iterations=3, generator=torch.Generator().manual_seed(5))(z1, z2)
    whole, generator, rows = WMSE(size=13), torch.Generator().manual_seed(5), 0.0
    for _ in range(3):
        for part in torch.randperm(13, generator=generator).tensor_split(3):
            rows = rows + whole(z1[part], z2[part]) * len(part)
    torch.testing.assert_close(got, rows / 39)


def test_equal_generators_give_equal_losses():
    z1, z2 = views(40, 3)
    one, two, other = (WMSE(8, generator=torch.Generator().manual_seed(s))(z1, z2) for s in (1, 1, 2))
    assert one == two
    assert one != other


def test_identical_and_opposite_views_have_closed_forms():
    z, _ = views(12, 3)
    for loss in (WMSE(), WMSE(4, iterations=2)):
        assert loss(z, z).item() == pytest.approx(0, abs=1e-9)
        assert loss(z, -z).item() == pytest.approx(4)
        assert loss(z, 5 - 2 * z).item() == pytest.approx(4)


def test_invariances():
    z1, z2 = views(11, 4)
    loss, order = WMSE(11), torch.randperm(11)
    want = loss(z1, z2)
    torch.testing.assert_close(loss(z2, z1), want)
    torch.testing.assert_close(loss(z1[order], z2[order]), want)
    # Cholesky whitening undoes every triangular map with a positive diagonal.
    lower = torch.randn(4, 4, dtype=F64).tril(-1) + torch.diag(torch.rand(4, dtype=F64) + 0.5)
    torch.testing.assert_close(loss(z1 @ lower.T + 3, z2), want)


@pytest.mark.parametrize("eps", [0.0, 0.2])
def test_gradients_are_right(eps):
    def loss(z1, z2):
        return WMSE(6, eps=eps, generator=torch.Generator().manual_seed(0))(z1, z2)

    assert torch.autograd.gradcheck(loss, tuple(z.requires_grad_() for z in views(12, 4)))


def test_too_few_rows_are_refused_with_the_rank_they_reach():
    z1, z2 = views(4, 4)
    with pytest.raises(InputError, match=r"4 rows has a covariance of rank at most 3.*give at least 5 rows"):
        WMSE()(z1, z2)
    with pytest.raises(InputError, match="rank at most 2"):
        WMSE(3)(*views(12, 4))
    assert torch.isfinite(WMSE(eps=0.1)(z1, z2))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("damage", ["constant", "repeated", "sum"])
def test_a_singular_covariance_is_refused_with_its_rank(dtype, damage):
    z1, z2 = (z.to(dtype) for z in views(20, 4))
    if damage == "constant":
        z2[:, 1] = 0.1
    elif damage == "repeated":
        z2[:, 3] = 3 * z2[:, 0]
    else:
        z2[:, 2] = z2[:, 0] - z2[:, 1]
    with pytest.raises(InputError, match="20 rows of z2 cannot be inverted: rank 3 of 4"):
        WMSE(20)(z1, z2)
    z2.requires_grad_()
    WMSE(20, eps=0.01)(z1, z2).backward()
    assert torch.isfinite(z2.grad).all()


def test_collapse_is_refused():
    with pytest.raises(InputError, match="rank 0 of 2"):
        WMSE()(torch.ones(8, 2), torch.ones(8, 2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_lower_precision_stays_close(dtype):
    z1, z2 = views(64, 8)
    low = WMSE(64)(z1.to(dtype), z2.to(dtype))
    assert low.dtype == torch.float32
    torch.testing.assert_close(low.double(), WMSE(64)(z1, z2), rtol=2e-2, atol=0)


def test_it_works_under_automatic_half_precision():
    z1, z2 = (z.float() for z in views(64, 8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = WMSE(64)(z1, z2)
    torch.testing.assert_close(low, WMSE(64)(z1, z2))


def test_messages_and_name():
    with pytest.raises(InputError, match="size must be >= 2"):
        WMSE(1)
    with pytest.raises(InputError, match="iterations must be >= 1"):
        WMSE(iterations=0)
    with pytest.raises(InputError, match=r"eps must lie in \[0, 1\)"):
        WMSE(eps=1)
    with pytest.raises(InputError, match="at least 2 rows"):
        WMSE()(A[:1], B[:1])
    assert repr(WMSE(128)) == "WMSE(size=128, iterations=1, eps=0)"
