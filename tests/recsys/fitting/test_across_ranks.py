from __future__ import annotations

import numpy as np
import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels.ranks import Ranks
from graphcl.recsys.data import Events, IdMap, ratio_split
from graphcl.recsys.fitting import fit_system
from graphcl.recsys.fitting.across_ranks import cut_sequences, train
from graphcl.recsys.sequences.batches import PrefixBatch, ShiftedBatch
from graphcl.recsys.sequences.jagged import Jagged
from graphcl.recsys.systems.lightgcn import LightGCN
from graphcl.recsys.systems.sequential.sasrec import SASRec
from graphcl.recsys.systems.sgl import SGL
from graphcl.recsys.systems.simgcl import SimGCL
from graphcl.recsys.systems.xsimgcl import XSimGCL
from graphcl.training import TrainingConfig
from graphcl.training.distributed import joined

MORE = {"dim": 8, "layers": 2, "batch_size": 50}
SYSTEMS = {
    "lightgcn": lambda graph: LightGCN(graph, edge_dropout=0.2, **MORE),
    "simgcl": lambda graph: SimGCL(graph, **MORE),
    "xsimgcl": lambda graph: XSimGCL(graph, **MORE),
    "vicreg": lambda graph: XSimGCL(graph, loss="vicreg", **MORE),
    "one a batch": lambda graph: XSimGCL(graph, dim=8, layers=2, batch_size=67),  # the last batch is a single triple
}


def split():
    rng = np.random.default_rng(0)
    same = (np.arange(30)[:, None] % 2) == (np.arange(20) % 2)
    user, item = np.nonzero(rng.random((30, 20)) < np.where(same, 0.6, 0.05))
    ids = IdMap.count(30, "user"), IdMap.count(20, "item")
    return ratio_split(Events(*ids, user.astype(np.int32), item.astype(np.int32)), generator=torch.Generator().manual_seed(0))


class Histories:
    """Just what the system asks of training rows, and batches of them."""

    num_items = 9

    def jagged(self):
        return Jagged.of([[row % 9, (row + 2) % 9, (row * 2) % 9, 4][: 2 + row % 3] for row in range(11)])

    def batches(self, epoch):
        order, whole = torch.randperm(11), self.jagged()
        for rows in torch.split(order, 5):
            history = whole.take(rows)
            yield ShiftedBatch(history, (history.values + 1) % 9)


def fit_all():
    found, parts = {}, split()
    for name, build in SYSTEMS.items():
        config = TrainingConfig(epochs=4, lr=0.02, device="cpu")
        fitted = fit_system(build, parts.train, parts.valid, config, every=2, refit=name == "lightgcn")
        found[name] = fitted.system.state_dict(), [row["loss"] for row in fitted.history], fitted.best_epoch
    for name, dropout in (("sasrec", 0.0), ("dropout", 0.5)):
        torch.manual_seed(0)
        system = SASRec(Histories(), dim=8, heads=1, layers=1, dropout=dropout)
        state = train(system, Histories(), TrainingConfig(epochs=4, lr=0.02, device="cpu"), [], None)
        found[name] = system.state_dict(), [row["loss"] for row in state.history], None
    return found


def work():
    with joined(torch.device("cpu")):
        found = fit_all()
        try:
            fit_system(lambda graph: SGL(graph, **MORE), split().train, None, TrainingConfig(epochs=1, device="cpu"))
        except InputError as error:
            found["refused"] = str(error)
    return found


@pytest.fixture(scope="module")
def found(on_ranks):
    return on_ranks(__file__, "work", 2)


@pytest.fixture(scope="module")
def alone():
    return fit_all()


@pytest.mark.parametrize("name", [*SYSTEMS, "sasrec"])
def test_two_ranks_train_what_one_process_trains(found, alone, name):
    weights, losses, best = alone[name]
    # Not the biases of keys: their gradient is 0 but for rounding, and Adam makes steps of any length out of that.
    weights = {key: value for key, value in weights.items() if key.endswith("_table")}
    assert weights
    for one in found:
        assert one[name][1] == pytest.approx(losses, rel=1e-4)
        assert one[name][2] == best
        for key, value in weights.items():
            torch.testing.assert_close(one[name][0][key], value, rtol=1e-3, atol=1e-4)


def test_dropout_is_each_ranks_own_and_the_weights_stay_together(found, alone):
    a, b = (one["dropout"] for one in found)
    assert all(torch.equal(a[0][key], b[0][key]) for key in a[0])
    assert a[1] == b[1]
    assert a[1] != alone["dropout"][1]


def test_a_loss_that_is_no_mean_over_rows_is_refused(found):
    assert all("the loss of SGL is no mean over the rows of a batch" in one["refused"] for one in found)


def test_histories_are_cut_with_their_targets():
    history = Jagged.of([[1, 2], [3], [4, 5, 6]])
    shifted, prefix = ShiftedBatch(history, history.values * 10), PrefixBatch(torch.arange(3), history, torch.tensor([7, 8, 9]))
    shares = [cut_sequences(shifted, Ranks(rank, 2)) for rank in range(2)]
    assert [share.weight for share in shares] == [3, 3]
    assert [share.batch.history.values.tolist() for share in shares] == [[1, 2, 3], [4, 5, 6]]
    assert [share.batch.target.tolist() for share in shares] == [[10, 20, 30], [40, 50, 60]]
    shares = [cut_sequences(prefix, Ranks(rank, 4)) for rank in range(4)]
    assert [share.weight for share in shares] == [1, 1, 1, 0]
    assert [share.batch.target.tolist() for share in shares] == [[7], [8], [9], [7]]
    assert [share.batch.rows.tolist() for share in shares] == [[0], [1], [2], [0]]
