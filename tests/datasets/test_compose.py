import numpy as np
import pytest
import torch

from graphcl.datasets.compose import compose
from graphcl.datasets.edges import undirect
from graphcl.datasets.labels import check_labels
from graphcl.datasets.provenance import Provenance
from graphcl.errors import InputError

X = np.arange(6, dtype=np.float32).reshape(3, 2)
LABELS = check_labels(np.array([0, 2, 1]), "labels")
KNOWN = Provenance("n", "d", "s", "l", "f" * 64, {"listed": 4})


def edges(*pairs):
    source, target = np.array(pairs, dtype=np.int64).T
    return undirect(source, target, 3)


def test_parts_become_a_graph_with_counts():
    mask = np.array([True, False, False])
    data = compose(edges((0, 1), (0, 1), (1, 0), (2, 2)), X, LABELS, {"test_mask": mask}, KNOWN, "here")
    assert data.edge_index.tolist() == [[0, 1], [1, 0]]
    assert torch.equal(data.x, torch.from_numpy(X))
    assert data.test_mask.tolist() == mask.tolist()
    counts = data.provenance.counts
    assert [counts[key] for key in ("nodes", "edges", "features", "classes", "listed")] == [3, 1, 2, 3, 4]
    assert [counts[key] for key in ("duplicates", "self_loops", "symmetrised")] == [1, 1, 0]
    assert (data.provenance.name, data.provenance.sha256) == ("n", "f" * 64)


def test_parts_that_do_not_fit_are_named():
    with pytest.raises(InputError, match=r"here: .*got features 3, labels 3, val_mask 2"):
        compose(edges((0, 1)), X, LABELS, {"val_mask": np.zeros(2, dtype=bool)}, KNOWN, "here")
    with pytest.raises(InputError, match="here: the graph is empty"):
        compose(edges((1, 1)), X, LABELS, {}, KNOWN, "here")
