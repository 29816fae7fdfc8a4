from __future__ import annotations

import pytest
import torch
from torch import nn

from graphcl import losses
from graphcl.errors import InputError
from graphcl.kernels.ranks import Ranks
from graphcl.losses.across_ranks import AcrossRanks
from graphcl.negatives import Hybrid, MetaNode
from graphcl.negatives.across_ranks import ShardedMetaNode

F64 = torch.float64
N, D, M = 12, 4, 9
ROWS, ITEMS = {2: [7, 5], 3: [2, 6, 4]}, {2: [4, 5], 3: [3, 5, 1]}
CLUSTERS = torch.arange(N) % 3

LEARNED = "learned temperature"
MAKE = {
    "info-nce": lambda: losses.InfoNCE(0.3),
    LEARNED: lambda: losses.InfoNCE(losses.LearnableTemperature(0.3).double()),
    "info-nce one way": lambda: losses.InfoNCE(0.3, symmetric="off"),
    "nt-xent": lambda: losses.NTXent(0.3),
    "dcl": lambda: losses.DCL(0.3),
    "dhel": lambda: losses.DHEL(0.3),
    "alignment": lambda: losses.Alignment(1.5),
}
WHOLE = {
    "hcl": lambda: losses.HardNegativeContrast(0.5),
    "dclw": lambda: losses.DCLW(0.5),
    "hybrid": lambda: losses.InfoNCE(0.5, negatives=Hybrid(CLUSTERS, 3, tolerance=0.1)),
    "kcl": lambda: losses.KCL(),
    "vicreg": lambda: losses.VICReg(),
    "bootstrap": lambda: losses.Bootstrap(),
}


def everything():
    torch.manual_seed(0)
    z1, z2 = torch.randn(N, D, dtype=F64), torch.randn(N, D, dtype=F64)
    weight, ids = torch.rand(N, dtype=F64) + 0.1, torch.arange(N) % 5
    items, bias, target = torch.randn(M, D, dtype=F64), torch.randn(M, dtype=F64), torch.randint(M, (N,))
    mask = torch.rand(N, M) < 0.3
    return z1, z2, weight, ids, items, bias, target, mask, torch.arange(M) // 2


def pattern(mask):
    return torch.cat([torch.zeros(1, dtype=torch.int64), mask.sum(1).cumsum(0)]), mask.nonzero()[:, 1]


def calls():
    """Name, way, the loss, and what else it is called with."""
    for name, make in MAKE.items():
        for way in ("ring", "gather"):
            yield name, way, make, {}
    yield "info-nce", "ids", MAKE["info-nce"], {"ids"}
    yield "nt-xent", "ids and weight", MAKE["nt-xent"], {"ids", "weight"}
    yield "alignment", "weight", MAKE["alignment"], {"weight"}
    for name, make in WHOLE.items():
        yield name, "whole", make, {}
    yield "sup-con", "labels", lambda: losses.PairLoss(losses.coupled, intra=True), {"labels"}


def differentiate(loss, z1, z2, **more):
    leaves = [z.clone().requires_grad_() for z in (z1, z2)]
    value = loss(*leaves, **more)
    inputs = leaves + [p for p in loss.parameters() if p.requires_grad]
    return value.detach(), torch.autograd.grad(value, inputs, materialize_grads=True)


def contrast():
    ranks, found = Ranks.of(), {}
    z1, z2, weight, ids, items, bias, target, mask, twins = everything()
    mine = torch.split(torch.arange(N), ROWS[ranks.size])[ranks.rank]
    given = {"ids": ids[mine], "labels": ids[mine], "weight": weight[mine]}
    for name, way, make, names in calls():
        kind = "ring" if way in ("ids", "ids and weight", "weight") else "whole" if way == "labels" else way
        loss = AcrossRanks(make(), ranks, way=kind)
        found[name, way] = differentiate(loss, z1[mine], z2[mine], **{key: given[key] for key in names})
    clusters = ShardedMetaNode(CLUSTERS[mine], 3, ranks)
    found["meta-node"] = differentiate(AcrossRanks(losses.InfoNCE(0.3, negatives=clusters), ranks), z1[mine], z2[mine])
    own = torch.split(torch.arange(M), ITEMS[ranks.size])[ranks.rank]
    for similarity in ("dot", "cosine"):
        for way in ("ring", "gather"):
            loss = AcrossRanks(losses.FullSoftmax(0.7, similarity=similarity), ranks, way=way)
            leaves = [tensor.clone().requires_grad_() for tensor in (z1[mine], items[own], bias[own])]
            value = loss(
                *leaves[:2], target[mine], bias=leaves[2], seen=pattern(mask[mine]), ids=twins[own], weight=weight[mine]
            )  # fmt: skip
            found["full-softmax", similarity, way] = value.detach(), torch.autograd.grad(value, leaves)
    scores = AcrossRanks(losses.BPR(), ranks)
    found["bpr"] = differentiate(scores, z1[mine, 0], z2[mine, 0])
    try:
        AcrossRanks(losses.InfoNCE(0.3), ranks)(z1[: 1 + ranks.rank], z2[: 1 + ranks.rank])
    except InputError as error:
        found["short"] = str(error)
    try:
        AcrossRanks(losses.InfoNCE(0.3), ranks)(z1, z2, ids=torch.arange(N) * ranks.rank)
    except InputError as error:
        found["alike"] = str(error)
    return found


@pytest.fixture(scope="module", params=[2, 3])
def found(request, on_ranks):
    return on_ranks(__file__, "contrast", request.param)


def check(found, key, want, joined):
    """Values are equal everywhere; gradients, those of rows put together, are on average those of one process."""
    value, gradients = want
    for one in found:
        torch.testing.assert_close(one[key][0], value, rtol=1e-10, atol=1e-12)
    for at, gradient in enumerate(gradients):
        parts = [one[key][1][at] for one in found]
        got = torch.cat(parts) / len(found) if at < joined else sum(parts) / len(found)
        torch.testing.assert_close(got, gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("name", "way", "make", "names"), list(calls()), ids=lambda x: x if isinstance(x, str) else "")
def test_the_loss_and_its_averaged_gradients_are_those_of_one_process(found, name, way, make, names):
    z1, z2, weight, ids, *_ = everything()
    given = {"ids": ids, "labels": ids, "weight": weight}
    check(found, (name, way), differentiate(make(), z1, z2, **{key: given[key] for key in names}), 2)


def test_contrast_with_clusters_sends_their_sums(found):
    z1, z2, *_ = everything()
    check(found, "meta-node", differentiate(losses.InfoNCE(0.3, negatives=MetaNode(CLUSTERS, 3)), z1, z2), 2)


@pytest.mark.parametrize("way", ["ring", "gather"])
@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_a_catalogue_can_be_shared_out(found, similarity, way):
    z1, _, weight, _, items, bias, target, mask, twins = everything()
    leaves = [tensor.clone().requires_grad_() for tensor in (z1, items, bias)]
    value = losses.FullSoftmax(0.7, similarity=similarity)(
        *leaves[:2], target, bias=leaves[2], seen=pattern(mask), ids=twins, weight=weight
    )  # fmt: skip
    check(found, ("full-softmax", similarity, way), (value.detach(), torch.autograd.grad(value, leaves)), 3)


def test_means_of_scores_need_their_number_alone(found):
    z1, z2, *_ = everything()
    check(found, "bpr", differentiate(losses.BPR(), z1[:, 0], z2[:, 0]), 2)


def test_a_rank_with_a_single_row_or_id_is_refused_on_all(found):
    assert all("ids are all equal on a rank" in one["alike"] for one in found)
    assert all("at least 2 rows on every rank; got [1, 2" in one["short"] for one in found)


@pytest.mark.parametrize(
    ("loss", "way", "match"),
    [
        (losses.MoCo(8, 4), "whole", "Queue remembers rows or instances from step to step"),
        (losses.SogCLR(8), "ring", "GlobalAverage remembers"),
        (losses.SwAV(4, 3), "whole", "SwAV remembers"),
        (losses.DCLW(), "ring", "may look at all rows of a batch: use way='whole'"),
        (losses.HardNegativeContrast(), "gather", "negatives across ranks are exact, or ShardedMetaNode; got Debiased"),
        (losses.KCL(), "ring", "KCL is no sum over ranks that is known here: use way='whole'"),
        (losses.SampledSoftmax(4), "ring", "takes exact negatives; got Sampled"),
        (losses.InfoNCE(), "rings", "unknown way across ranks 'rings'; did you mean ring"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_refused_before_anything_is_sent(loss, way, match):
    with pytest.raises(InputError, match=match):
        AcrossRanks(loss, Ranks(0, 2), way=way)


def test_arguments_that_belong_elsewhere_are_refused():
    z, ranks, target = torch.zeros(3, 2), Ranks(0, 2), torch.zeros(3, dtype=torch.int64)
    with pytest.raises(InputError, match="labels join rows of all ranks"):
        AcrossRanks(losses.InfoNCE(), ranks)(z, z, labels=target)
    with pytest.raises(InputError, match="belong to a full softmax"):
        AcrossRanks(losses.InfoNCE(), ranks)(z, z, target)
    with pytest.raises(InputError, match="takes a target for each query"):
        AcrossRanks(losses.FullSoftmax(), ranks)(z, z)
    with pytest.raises(InputError, match="neither ids nor weight"):
        AcrossRanks(losses.CCASSG(), ranks)(z, z, ids=target)


def test_the_loss_that_was_given_stays_as_it_was():
    loss = losses.InfoNCE(losses.LearnableTemperature(0.2))
    other = AcrossRanks(loss, Ranks(0, 2))
    assert type(loss.negatives).__name__ == "Exact"
    assert [id(p) for p in other.parameters()] == [id(p) for p in loss.parameters()]
    assert isinstance(other, nn.Module)
    assert "ranks=2, way='ring'" in repr(other)
