import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from torch_geometric.data import Data

from graphcl.datasets import load
from graphcl.errors import InputError
from graphcl.evaluation import Split, linear_probe, public_splits, random_splits
from graphcl.evaluation.linear_probe import STRENGTHS


def splits_of(y, count=3):
    y = torch.as_tensor(y)
    return random_splits(Data(edge_index=torch.zeros(2, 0, dtype=torch.long), num_nodes=len(y), y=y), count)


def blobs(n, classes, spread, d=6, seed=0):
    torch.manual_seed(seed)
    y = torch.arange(n) % classes
    return F.one_hot(y, d).float() + spread * torch.randn(n, d), y


def test_classes_that_a_line_separates_are_read_without_error():
    z, y = blobs(300, 3, 0.02)
    found = linear_probe(z, y, splits_of(y))
    assert found.metrics == {"acc": 1, "f1": 1}
    assert found.split_std == {"acc": 0, "f1": 0}
    assert all(result.val_accuracy == 1 for result in found.splits)


def test_labels_without_a_cause_are_read_by_chance():
    torch.manual_seed(0)
    y = torch.randint(4, (2000,))
    assert linear_probe(torch.randn(2000, 8), y, splits_of(y)).metrics["acc"] == pytest.approx(0.25, abs=0.04)


def test_scores_are_those_of_the_best_strength_by_hand():
    z, y = blobs(400, 4, 0.8)
    (split,) = splits_of(y, 1)
    x, labels = F.normalize(z.double(), dim=1).numpy(), y.numpy()
    models = [LogisticRegression(C=c, tol=1e-8, max_iter=9999).fit(x[split.train], labels[split.train]) for c in STRENGTHS]
    accuracy = [model.score(x[split.val], labels[split.val]) for model in models]
    chosen = int(np.argmax(accuracy))
    found = linear_probe(z, y, [split]).splits[0]
    predicted = models[chosen].predict(x[split.test])
    assert (found.c, found.val_accuracy) == (STRENGTHS[chosen], accuracy[chosen])
    assert found.accuracy == pytest.approx((predicted == labels[split.test]).mean(), abs=0.004)
    assert found.macro_f1 == pytest.approx(f1_score(labels[split.test], predicted, average="macro"), abs=0.004)


def trap():
    """A strong axis that is right for training and validation nodes and wrong for test nodes, and a weak one that is right."""
    torch.manual_seed(1)
    y = torch.arange(240) % 2
    sign = 2.0 * y - 1
    strong, weak = torch.randn(240) * 0.6, sign * 0.15
    strong[:160] += sign[:160] * 0.5
    strong[160:] -= sign[160:] * 0.5
    z = torch.stack([strong, weak, torch.ones(240)], 1)
    return z, y, Split("trap", "trap", 1, np.arange(80), np.arange(80, 160), np.arange(160, 240))


def by_strength(z, y, split):
    x = F.normalize(z.double(), dim=1).numpy()
    y = y.numpy()
    return np.array(
        [
            [model.score(x[part], y[part]) for part in (split.val, split.test)]
            # One column of weights pays half of what two columns pay.
            for model in (LogisticRegression(C=2 * c, tol=1e-8).fit(x[split.train], y[split.train]) for c in STRENGTHS)
        ]
    )


def test_the_strength_is_chosen_on_validation_alone():
    z, y, split = trap()
    y = y.clone()
    y[split.val[::2]] = 1 - y[split.val[::2]]  # noise that favours a strong penalty
    scores = by_strength(z, y, split)
    found = linear_probe(z, y, [split]).splits[0]
    on_val, on_test = scores.argmax(0)
    assert on_val != on_test
    assert scores[on_val, 1] < scores[on_test, 1]
    assert (found.c, found.accuracy) == (STRENGTHS[on_val], scores[on_val, 1])


def test_test_labels_change_the_score_and_nothing_else():
    z, y = blobs(300, 3, 0.3)
    (split,) = splits_of(y, 1)
    other = y.clone()
    other[split.test] = (other[split.test] + 1) % 3
    first, second = (linear_probe(z, labels, [split]).splits[0] for labels in (y, other))
    assert (first.c, first.val_accuracy) == (second.c, second.val_accuracy)
    assert first.accuracy > 0.8 > 0.2 > second.accuracy


def test_names_of_the_classes_scale_of_the_rows_and_order_of_the_columns_have_no_say():
    z, y = blobs(300, 3, 0.7)
    splits = splits_of(y)
    want = linear_probe(z, y, splits)
    renamed = torch.tensor([7, 0, 3])[y]
    scaled = z * torch.logspace(-20, 15, 300)[:, None]
    for other in (linear_probe(z, renamed, splits), linear_probe(scaled, y, splits), linear_probe(z.flip(1), y, splits)):
        assert other.metrics == pytest.approx(want.metrics, abs=0.003)
        assert [a.c for a in other.splits] == [a.c for a in want.splits]


def test_sparse_rows_half_precision_and_arrays_are_read():
    z, y = blobs(200, 3, 0.4)
    z = z.relu().half().float()
    want = linear_probe(z, y, splits_of(y))
    assert linear_probe(z.to_sparse_csr(), y, splits_of(y)).metrics == pytest.approx(want.metrics, abs=0.005)
    assert linear_probe(z.half(), y, splits_of(y)) == want
    assert linear_probe(z.numpy(), y.numpy(), splits_of(y)) == want


def test_many_test_nodes_are_scored_as_one(monkeypatch):
    z, y = blobs(200, 3, 0.6)
    want = linear_probe(z, y, splits_of(y))
    monkeypatch.setattr(sys.modules[linear_probe.__module__], "BLOCK", 37)
    assert linear_probe(z, y, splits_of(y)) == want


def test_means_deviations_and_the_stamp_are_those_of_the_splits():
    z, y = blobs(200, 3, 0.8)
    found = linear_probe(z, y, splits_of(y, 4))
    accuracy = np.array([result.accuracy for result in found.splits])
    assert found.metrics["acc"] == pytest.approx(accuracy.mean())
    assert found.split_std["acc"] == pytest.approx(accuracy.std(ddof=1))
    assert (found.protocol, found.stamp) == ("random 10/10/80", "4 of the 20 splits of the protocol")
    assert linear_probe(z, y, splits_of(y, 20)).stamp is None
    assert linear_probe(z, y, splits_of(y, 1)).split_std == {"acc": 0, "f1": 0}


def test_a_constant_embedding_and_rows_of_zeros_give_the_largest_class():
    y = torch.tensor([0, 0, 0, 1] * 25)
    for z in (torch.ones(100, 4), torch.zeros(100, 4)):
        split = splits_of(y, 1)[0]
        want = (y[torch.from_numpy(split.test)] == 0).double().mean().item()
        assert linear_probe(z, y, [split]).metrics["acc"] == pytest.approx(want)


def test_a_class_that_no_training_node_has_is_named():
    z, y = blobs(30, 3, 0.1)
    split = Split("mine", "mine", 1, np.arange(0, 30, 3), np.array([1]), np.array([2]))
    with pytest.raises(InputError, match=r"no training node has class 1 \(2 of 3 classes are missing among 10"):
        linear_probe(z, y, [split])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda z, y, s: (z[0], y, s), r"z must be \(N, D\)"),
        (lambda z, y, s: (z.long(), y, s), "of a floating type, one row a node"),
        (lambda z, y, s: (z.index_fill(0, torch.tensor(4), torch.nan), y, s), "not finite: row 4 is the first"),
        (lambda z, y, s: ((z / 0).to_sparse_csr(), y, s), "z holds values that are not finite. Did training diverge"),
        (lambda z, y, s: (z, y[:-1], s), r"one integer class for each of the 60 rows of z; got shape \(59,\)"),
        (lambda z, y, s: (z, F.one_hot(y), s), "knows no multi-label data"),
        (lambda z, y, s: (z, y.float(), s), "of float32"),
        (lambda z, y, s: (z, torch.where(torch.arange(60) == 9, -1, y), s), r"node 9, which has no class \(y = -1\)"),
        (lambda z, y, s: (z[:50], y[:50], s), "names node 5. but z has 50 rows"),
        (lambda z, y, s: (z, y, []), "splits is empty"),
        (lambda z, y, s: (z, y, [*s, Split("a", "public", 1, *np.split(np.arange(3), 3))]), "public and random 10/10/80"),
    ],
)
def test_what_cannot_be_probed_is_refused(change, message):
    z, y = blobs(60, 2, 0.1)
    with pytest.raises(InputError, match=message):
        linear_probe(*change(z, y, splits_of(y, 1)))


def test_raw_features_of_cora_score_as_known_on_the_public_split(real_root):
    data = load("cora", real_root, prefer="citation")
    found = linear_probe(data.x, data.y, public_splits(data))
    assert found.protocol == "public"
    assert found.stamp is None
    assert 0.57 <= found.metrics["acc"] <= 0.63
