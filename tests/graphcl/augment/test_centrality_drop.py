from __future__ import annotations

import pytest
import torch

from graphcl.augment.centrality_drop import drop_probabilities, edge_weights, feature_weights
from graphcl.errors import InputError

C = torch.tensor([4.0, 1.0, 2.0, 8.0], dtype=torch.float64)
EDGES = torch.tensor([[0, 1, 2, 3, 0], [1, 0, 3, 2, 2]])


def test_edge_weights_are_the_papers():
    s = C[EDGES[1]].log()
    want = (s.max() - s) / (s.max() - s.mean())
    got = edge_weights(C, EDGES)
    torch.testing.assert_close(got.double(), want, rtol=1e-6, atol=1e-7)
    assert got[2] == 0  # into the most central node
    assert float(got.mean()) == pytest.approx(1)
    torch.testing.assert_close(edge_weights(100 * C, EDGES), got)


@pytest.mark.parametrize("binary", [True, False])
def test_feature_weights_are_the_papers_for_both_layouts(binary):
    x = torch.tensor([[1.0, 0.0, -2.0], [0.0, 3.0, 1.0], [0.5, 0.0, 0.0], [0.0, 1.0, 4.0]])
    b = (x != 0).double() if binary else x.abs().double()
    s = (C @ b).log()
    want = (s.max() - s) / (s.max() - s.mean())
    for layout in (x, x.to_sparse_csr()):
        torch.testing.assert_close(feature_weights(C, layout, binary=binary).double(), want, rtol=1e-6, atol=1e-7)


def test_a_column_nobody_has_is_as_little_worth_as_the_least_and_moves_no_other():
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    plain = feature_weights(C, x)
    more = feature_weights(C, torch.cat([x, torch.zeros(4, 1)], 1))
    torch.testing.assert_close(more[:2], plain)
    assert more[2] == plain.max()
    assert feature_weights(C, torch.zeros(4, 2)).tolist() == [1.0, 1.0]


def test_equal_centralities_give_equal_weights():
    assert edge_weights(torch.full((4,), 0.1), EDGES).tolist() == [1.0] * 5
    rounded = torch.tensor([0.1, 0.1 + 1e-17, 0.3 / 3, 0.1], dtype=torch.float64)
    assert edge_weights(rounded, EDGES).tolist() == [1.0] * 5
    assert edge_weights(torch.zeros(4), EDGES).tolist() == [1.0] * 5
    assert edge_weights(C, EDGES[:, :0]).shape == (0,)


def test_a_centrality_of_zero_is_floored():
    got = edge_weights(torch.tensor([0.0, 1.0, 1.0, 1.0]), EDGES)
    assert got.isfinite().all()
    assert got[1] == got.max() == 5.0


def test_the_mean_probability_is_the_rate_unless_some_are_capped():
    weights = edge_weights(C, EDGES)
    assert float(drop_probabilities(weights, 0.2).mean()) == pytest.approx(0.2)
    capped = drop_probabilities(weights, 0.9)
    assert float(capped.max()) == pytest.approx(0.7)
    assert capped.mean() < 0.9
    torch.testing.assert_close(drop_probabilities(weights, 0.9, cap=0.3), (0.9 * weights).clamp(max=0.3))
    assert not drop_probabilities(weights, 0.0).any()


def test_what_does_not_go_together_is_refused():
    with pytest.raises(InputError, match="centralities must be finite and >= 0"):
        edge_weights(-C, EDGES)
    with pytest.raises(InputError, match=r"centrality must be \(N,\) floating"):
        edge_weights(torch.ones(4, dtype=torch.long), EDGES)
    with pytest.raises(InputError, match="the edges reach node 3 but there are 2 centralities"):
        edge_weights(C[:2], EDGES)
    with pytest.raises(InputError, match="a row for each of the 4 centralities"):
        feature_weights(C, torch.ones(3, 2))
    with pytest.raises(InputError, match=r"rate is a probability and lies in 0 \.\. 1; got 2"):
        drop_probabilities(torch.ones(2), 2.0)
    with pytest.raises(InputError, match="cap is a probability"):
        drop_probabilities(torch.ones(2), 0.5, cap=-1.0)
