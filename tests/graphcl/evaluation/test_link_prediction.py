import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score

from graphcl.errors import InputError
from graphcl.evaluation import link_prediction, split_links
from graphcl.evaluation.linear_probe import STRENGTHS


def blocks(groups=6, size=12):
    """Complete groups without a link between them."""
    inside = torch.triu_indices(size, size, 1)
    return torch.cat([inside + group * size for group in range(groups)], 1), groups * size


@pytest.fixture(scope="module")
def split():
    return split_links(*blocks(), seed=3)


def both(split, part):
    edges, others = getattr(split, part), getattr(split, f"{part}_negatives")
    return torch.cat([edges, others], 1), np.arange(2 * edges.shape[1]) < edges.shape[1]


def test_auc_and_ap_of_the_dot_product_are_those_of_its_sigmoid(split):
    torch.manual_seed(0)
    z = torch.randn(72, 5)
    found = link_prediction(z, split, message_edges=split.message_edges)
    for part, auc, ap in (("val", found.val_auc, found.val_ap), ("test", found.auc, found.ap)):
        (u, v), truth = both(split, part)
        score = torch.sigmoid((z[u].double() * z[v].double()).sum(1)).numpy()
        assert auc == pytest.approx(roc_auc_score(truth, score))
        assert ap == pytest.approx(average_precision_score(truth, score))
    assert (found.protocol, found.c) == ("links 85/5/10, seed 3, dot", None)


@pytest.mark.parametrize("decoder", ["dot", "hadamard"])
def test_groups_that_are_known_are_told_apart_without_error(split, decoder):
    z = F.one_hot(torch.arange(72) // 12, 6).float()
    found = link_prediction(z, split, message_edges=split.message_edges, decoder=decoder)
    assert (found.auc, found.ap, found.val_auc, found.val_ap) == (1, 1, 1, 1)


def test_large_products_keep_their_order(split):
    torch.manual_seed(0)
    z = torch.randn(72, 5)
    small, large = (link_prediction(f * z, split, message_edges=split.message_edges) for f in (1, 64))
    assert small == large


def test_the_probe_finds_a_link_that_the_dot_product_misses(split):
    group = torch.arange(72) // 12
    z = torch.cat([F.one_hot(group, 6).float(), 3 * torch.randn(72, 1, generator=torch.Generator().manual_seed(0))], 1)
    dot, probe = (link_prediction(z, split, message_edges=split.message_edges, decoder=d) for d in ("dot", "hadamard"))
    assert probe.auc > 0.95 > dot.auc
    assert probe.protocol.endswith("hadamard")


def test_the_probe_is_logistic_regression_chosen_by_the_validation_auc(split):
    torch.manual_seed(0)
    z = F.one_hot(torch.arange(72) // 12, 6) + 0.7 * torch.randn(72, 6)
    unit = F.normalize(z.double(), dim=1)

    def features(part):
        (u, v), truth = both(split, part)
        return (unit[u] * unit[v] * 6**0.5).numpy(), truth

    (train, is_edge), (val, val_truth), (test, truth) = features("train"), features("val"), features("test")
    # One column of weights pays half of what two columns pay.
    models = [LogisticRegression(C=2 * c, tol=1e-8, max_iter=9999).fit(train, is_edge) for c in STRENGTHS]
    aucs = [roc_auc_score(val_truth, model.decision_function(val)) for model in models]
    chosen = int(np.argmax(aucs))
    found = link_prediction(z, split, message_edges=split.message_edges, decoder="hadamard")
    assert found.c == STRENGTHS[chosen]
    assert found.val_auc == pytest.approx(aucs[chosen])
    assert found.auc == pytest.approx(roc_auc_score(truth, models[chosen].decision_function(test)), abs=1e-3)


def test_test_pairs_change_the_test_scores_and_nothing_else(split):
    torch.manual_seed(0)
    z = F.one_hot(torch.arange(72) // 12, 6) + 0.7 * torch.randn(72, 6)
    swapped = dataclasses.replace(split, test=split.test_negatives, test_negatives=split.test)
    edges = split.message_edges
    first, second = (link_prediction(z, s, message_edges=edges, decoder="hadamard") for s in (split, swapped))
    assert (first.c, first.val_auc, first.val_ap) == (second.c, second.val_auc, second.val_ap)
    assert first.auc == pytest.approx(1 - second.auc)


def test_an_embedding_without_a_cause_scores_by_chance():
    split = split_links(*blocks(20, 20))
    z = torch.randn(400, 8, generator=torch.Generator().manual_seed(0))
    assert link_prediction(z, split, message_edges=split.message_edges).auc == pytest.approx(0.5, abs=0.07)


def test_a_graph_that_holds_test_edges_is_refused(split):
    edges, nodes = blocks()
    with pytest.raises(InputError, match="held-out edges are in the graph of message passing"):
        link_prediction(torch.randn(nodes, 3), split, message_edges=edges.flip(0))


@pytest.mark.parametrize(
    ("z", "decoder", "message"),
    [
        (torch.ones(72, 2), "bilinear", "decoder must be one of dot, hadamard; got 'bilinear'"),
        (torch.ones(70, 2), "dot", r"a row for each of the 72 nodes; got \(70, 2\)"),
        (torch.ones(72, 2, dtype=torch.long), "dot", "of torch.int64"),
        (torch.full((72, 2), torch.nan), "dot", "not finite. Did training diverge"),
    ],
)
def test_what_cannot_be_scored_is_refused(split, z, decoder, message):
    with pytest.raises(InputError, match=message):
        link_prediction(z, split, message_edges=split.message_edges, decoder=decoder)
