import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels import Rule
from graphcl.negatives import Exact

F64 = torch.float64


@pytest.mark.parametrize(("n", "m", "d"), [(1, 1, 1), (7, 5, 3), (31, 13, 4)])
def test_every_candidate_counts(n, m, d):
    torch.manual_seed(0)
    a, z = torch.randn(n, d, dtype=F64), torch.randn(m, d, dtype=F64)
    torch.testing.assert_close(Exact().log_z(a, z, scale=1.5, rule=Rule()), (1.5 * a @ z.T).logsumexp(1))


def test_the_candidate_an_anchor_leaves_out_does_not_count():
    torch.manual_seed(0)
    a, z, exclude = torch.randn(5, 3, dtype=F64), torch.randn(7, 3, dtype=F64), torch.tensor([6, 0, 3, 3, 1])
    want = torch.stack([(a[i] @ z[torch.arange(7) != exclude[i]].T).logsumexp(0) for i in range(5)])
    torch.testing.assert_close(Exact().log_z(a, z, scale=1.0, rule=Rule(exclude)), want)


def test_an_anchor_without_negatives_is_minus_infinity_without_gradient():
    a, z = torch.ones(1, 2, requires_grad=True), torch.ones(1, 2, requires_grad=True)
    out = Exact().log_z(a, z, scale=1.0, rule=Rule(torch.tensor([0])))
    assert out.item() == -torch.inf
    out.sum().backward()
    assert torch.count_nonzero(a.grad) == torch.count_nonzero(z.grad) == 0


@pytest.mark.parametrize("n", [2, 3, 7])
def test_orthonormal_candidates_have_the_closed_form(n):
    z = torch.eye(n, dtype=F64)
    want = torch.tensor(n - 1, dtype=F64).log().expand(n)
    torch.testing.assert_close(Exact().log_z(z, z, scale=4.0, rule=Rule(torch.arange(n))), want)


def test_gradients_reach_anchors_candidates_and_scale():
    torch.manual_seed(0)
    inputs = tuple(
        t.requires_grad_() for t in (torch.randn(5, 4, dtype=F64), torch.randn(5, 4, dtype=F64), torch.tensor(2.0).double())
    )
    rule = Rule(torch.arange(5))
    assert torch.autograd.gradcheck(lambda a, z, scale: Exact().log_z(a, z, scale=scale, rule=rule), inputs)


def test_no_candidates_are_refused():
    with pytest.raises(InputError, match="the candidate set has 0 rows"):
        Exact().log_z(torch.ones(2, 3), torch.ones(0, 3), scale=1.0, rule=Rule())


def test_it_prints_as_it_is_written():
    assert repr(Exact()) == "Exact()"
