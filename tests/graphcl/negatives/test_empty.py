import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels import Rule
from graphcl.negatives import HCL, ClusterRestricted, Debiased, Exact, HardTopK, Meow, Queue, Sampled, check_negatives


def test_log_partitions_pass_through_with_their_gradient():
    log_z = torch.tensor([1.0, -3.0], requires_grad=True)
    assert check_negatives(log_z) is log_z


def test_the_first_anchor_without_negatives_is_named():
    with pytest.raises(InputError, match=r"anchor 1 has no negatives: .*ids that differ more"):
        check_negatives(torch.tensor([0.0, -torch.inf, 2.0, -torch.inf]))


def queue():
    one = Queue(2, 3)
    one.update(torch.randn(2, 3), torch.tensor([0, 0]))
    return one


@pytest.mark.parametrize(
    "estimator",
    [
        Exact(),
        HCL(),
        Debiased(),
        Debiased(0.1, HCL()),
        HardTopK(2),
        HardTopK(fraction=0.5),
        Sampled(4),
        ClusterRestricted(torch.zeros(2, dtype=torch.int64)),
        Meow(torch.tensor([0, 1])),
        queue(),
    ],
    ids=repr,
)
def test_every_estimator_says_what_is_refused(estimator):
    ids = torch.zeros(2, dtype=torch.int64)
    log_z = estimator.log_z(torch.randn(2, 3), torch.randn(2, 3), scale=2.0, rule=Rule(torch.arange(2), different=(ids, ids)))
    assert log_z.tolist() == [-torch.inf] * 2
    with pytest.raises(InputError, match="anchor 0 has no negatives"):
        check_negatives(log_z)
