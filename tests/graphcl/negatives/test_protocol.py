import inspect

import pytest
import torch
from torch import Tensor

from graphcl.kernels import Rule
from graphcl.losses import PairLoss, coupled, decoupled
from graphcl.negatives import (
    HCL,
    ClusterRestricted,
    ColumnBias,
    Debiased,
    Exact,
    GlobalAverage,
    HardTopK,
    Meow,
    MetaNode,
    Negatives,
    PamCProxy,
    Queue,
    Sampled,
)

F64 = torch.float64


def estimators(n):
    queue = Queue(n + 3, 3)
    torch.manual_seed(1)
    queue.update(torch.randn(n, 3))
    return [
        Exact(),
        MetaNode(torch.arange(n) % 3, 3),
        MetaNode(torch.arange(n) % 3, 3, order="isotropic"),
        MetaNode(torch.rand(n, 3).softmax(1), 3),
        MetaNode(torch.arange(n) % 3, 3, order="full"),
        MetaNode(torch.arange(n) % 3, 3, order="low-rank", rank=2),
        PamCProxy(torch.arange(n) % 3, 3),
        PamCProxy(torch.arange(n) % 3, 3, level="weighted"),
        HCL(),
        Debiased(0.01),
        HardTopK(2),
        GlobalAverage(n),
        Sampled(50),
        ColumnBias(torch.arange(n) / n, correct_positive=False),
        ClusterRestricted(torch.zeros(n, dtype=torch.int64)),
        Meow(torch.arange(n)),
        queue,
    ]


class Dense:
    """A user's own estimator: nothing of the package but the signature."""

    def __init__(self):
        self.rules = []

    def log_z(self, anchors: Tensor, candidates: Tensor, *, scale: float | Tensor, rule: Rule) -> Tensor:
        self.rules.append(rule)
        logits = scale * anchors @ candidates.T
        own = rule.exclude[:, None] == torch.arange(len(candidates))
        return logits.masked_fill(own, -torch.inf).logsumexp(1)


@pytest.mark.parametrize("estimator", [*estimators(5), Dense()], ids=repr)
def test_every_estimator_takes_what_the_protocol_writes(estimator):
    wanted = inspect.signature(Negatives.log_z).parameters
    got = inspect.signature(type(estimator).log_z).parameters
    assert [(p.name, p.kind) for p in got.values()] == [(p.name, p.kind) for p in wanted.values()]


@pytest.mark.parametrize("n", [2, 5, 7])
def test_every_estimator_gives_one_number_an_anchor(n):
    torch.manual_seed(0)
    a, z = torch.randn(n, 3, dtype=F64), torch.randn(n, 3, dtype=F64)
    for estimator in estimators(n):
        ids = (torch.arange(n), torch.arange(n)) if isinstance(estimator, GlobalAverage) else None
        for exclude in (None, torch.arange(n)):
            if exclude is None and getattr(estimator, "reads_positive", False):
                continue
            rule = Rule(exclude, different=ids)
            out = estimator.log_z(a, z, scale=2.0, rule=rule)
            assert out.shape == (n,)
            assert out.dtype == F64
            assert out.isfinite().all()


def test_every_estimator_says_minus_infinity_where_there_are_no_negatives():
    for estimator in (Exact(), MetaNode(torch.tensor([0]), 1), MetaNode(torch.tensor([2]), 4), Debiased(), HardTopK(3)):
        a, z = torch.ones(1, 3, requires_grad=True), torch.ones(1, 3, requires_grad=True)
        out = estimator.log_z(a, z, scale=2.0, rule=Rule(torch.tensor([0])))
        assert out.tolist() == [-torch.inf]
        out.sum().backward()
        assert torch.count_nonzero(a.grad) == torch.count_nonzero(z.grad) == 0


@pytest.mark.parametrize("link", [coupled, decoupled])
@pytest.mark.parametrize("symmetric", ["mean", "sum", "off"])
def test_an_estimator_of_ones_own_works_in_a_pair_loss(link, symmetric):
    torch.manual_seed(0)
    z1, z2 = torch.randn(5, 3, dtype=F64, requires_grad=True), torch.randn(5, 3, dtype=F64)
    own = Dense()
    ours = PairLoss(link, negatives=own, symmetric=symmetric)(z1, z2)
    exact = PairLoss(link, symmetric=symmetric)(z1, z2)
    torch.testing.assert_close(ours, exact)
    torch.testing.assert_close(torch.autograd.grad(ours, z1), torch.autograd.grad(exact, z1))
    assert len(own.rules) == (1 if symmetric == "off" else 2)
    assert all(torch.equal(rule.exclude, torch.arange(5)) for rule in own.rules)
