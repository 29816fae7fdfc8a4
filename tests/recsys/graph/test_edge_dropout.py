import numpy as np
import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.graph import Bipartite
from graphcl.recsys.graph.edge_dropout import drop_edges
from graphcl.recsys.ranking.rows import Rows


def graph():
    items = np.arange(40, dtype=np.int32)
    return Bipartite(Rows(np.arange(0, 2001, 40, dtype=np.int64), np.tile(items, 50), 50, 40))


def test_what_is_kept_is_scaled_up_and_the_rest_is_zero():
    torch.manual_seed(0)
    whole = graph()
    values = drop_edges(whole, 0.25).matrix.values
    kept = values != 0
    torch.testing.assert_close(values[kept], whole.matrix.values[kept] / 0.75)
    assert abs(kept.double().mean().item() - 0.75) < 0.05


def test_the_mean_over_many_draws_is_the_whole_graph():
    torch.manual_seed(0)
    whole = graph()
    mean = torch.stack([drop_edges(whole, 0.5).matrix.values for _ in range(2000)]).mean(0)
    torch.testing.assert_close(mean, whole.matrix.values, rtol=0.12, atol=0)


def test_a_rate_of_zero_gives_the_graph_itself_and_draws_nothing():
    whole = graph()
    state = torch.get_rng_state()
    assert drop_edges(whole, 0.0) is whole
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_a_rate_that_is_no_share_is_refused(rate):
    with pytest.raises(InputError, match=r"must be in \[0, 1\)"):
        drop_edges(graph(), rate)
