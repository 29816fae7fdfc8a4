from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from graphcl import datasets
from graphcl.errors import InputError
from graphcl.evaluation import linear_probe, random_splits
from graphcl.models.node import GRACE
from graphcl.tasks import NodeEmbedder
from graphcl.training import NonFiniteLossError, TrainingConfig


def test_cloning_keeps_every_setting_and_nothing_learned(embedder, planted):
    fitted = embedder(seed=5).fit(planted())
    copied = clone(fitted)
    assert copied.get_params() == fitted.get_params()
    assert not hasattr(copied, "trained_")
    assert copied.set_params(seed=3).seed == 3


def test_fit_returns_the_embedder_with_everything_it_promises(embedder, planted):
    data, model = planted(), embedder()
    assert model.fit(data) is model
    assert model.embedding_.shape == (41, 8)
    assert model.embedding_.dtype == np.float32
    assert (model.features_, model.n_features_in_) == ("given", 5)
    assert [row["epoch"] for row in model.history_] == [0, 1, 2, 3]
    assert model.seconds_ > 0
    assert isinstance(model.system_, GRACE)
    np.testing.assert_array_equal(model.embed(), model.embedding_)
    np.testing.assert_array_equal(model.embed(data.clone()), model.embedding_)


@pytest.mark.parametrize("call", ["embed", "score", "save"])
def test_nothing_is_answered_before_fit(embedder, planted, call):
    with pytest.raises(NotFittedError, match="NodeEmbedder has no embedding yet: call fit first"):
        getattr(embedder(), call)(planted())


def test_another_graph_is_embedded_and_another_width_refused(embedder, planted):
    model, other = embedder().fit(planted()), planted(nodes=17, seed=1)
    assert model.embed(other).shape == (17, 8)
    other.x = other.x[:, :4]
    with pytest.raises(InputError, match=r"made for 5 features a node; got x of shape \(17, 4\)"):
        model.embed(other)


def test_sparse_and_dense_features_give_the_same_embedding_nearly(embedder, planted):
    data = planted()
    sparse = data.clone()
    sparse.x = data.x.to_sparse_csr()
    np.testing.assert_allclose(embedder().fit(sparse).embedding_, embedder().fit(data).embedding_, atol=1e-4)


def test_a_graph_without_features_gets_positional_ones_which_do_not_carry_over(embedder):
    data = datasets.load("karate")
    model = embedder().fit(data)
    assert model.features_ == "positional"
    assert model.n_features_in_ == model.system_.encoder.in_features
    np.testing.assert_array_equal(model.embed(data), model.embedding_)
    with pytest.raises(InputError, match="positional features do not carry over to another graph"):
        model.embed(datasets.load("davis"))


def test_the_graph_is_not_changed_and_labels_are_not_looked_at(embedder, planted):
    data = planted()
    before = copy.deepcopy(data.to_dict())
    first = embedder().fit(data)
    assert all(torch.equal(value, data[key]) for key, value in before.items())
    bare = data.clone()
    del bare.y
    np.testing.assert_array_equal(embedder().fit(bare).embedding_, first.embedding_)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(embedder, planted):
    first, again, other = (embedder(seed=seed).fit(planted()).embedding_ for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_score_is_the_linear_probe_of_the_embedding(embedder, planted):
    data = planted(nodes=120)
    model = embedder(epochs=30).fit(data)
    summary = model.score(data, splits=3)
    assert summary == linear_probe(model.embedding_, data.y, random_splits(data, 3))
    assert (summary.protocol, summary.stamp) == ("random 10/10/80", "3 of the 20 splits of the protocol")
    assert summary.metrics["acc"] > 0.8
    for key, low in (("train_mask", 0), ("val_mask", 1), ("test_mask", 2)):
        data[key] = torch.arange(120) % 3 == low
    assert model.score(data).protocol == "public", "what the data brings comes first"
    assert model.score(data, protocol="random", splits=2).protocol == "random 10/10/80"
    with pytest.raises(InputError, match="unknown split protocol 'publik'"):
        model.score(data, protocol="publik")


def test_what_was_saved_comes_back_with_settings_and_weights(embedder, planted, tmp_path):
    model = embedder(seed=4).fit(planted())
    assert model.save(tmp_path / "m") == tmp_path / "m"
    back = NodeEmbedder.load(tmp_path / "m")
    np.testing.assert_array_equal(back.embed(planted()), model.embedding_)
    assert (back.seed, back.training, back.features_, back.n_features_in_) == (4, model.training, "given", 5)
    assert {name: back.params[name] for name in model.params} == model.params
    with pytest.raises(InputError, match="holds weights and no graph: give embed the graph"):
        back.embed()
    np.testing.assert_array_equal(clone(back).fit(planted()).embedding_, model.embedding_)


def test_a_folder_with_a_model_is_not_written_over(embedder, planted, tmp_path):
    model = embedder().fit(planted())
    model.save(tmp_path)
    with pytest.raises(InputError, match="holds a model already; name another folder, or remove it"):
        model.save(tmp_path)


def test_a_clustering_system_is_no_node_system(clusterer, planted, tmp_path):
    from graphcl.training import RunFolder

    clusterer().fit(planted()).trained_.write(RunFolder(tmp_path))
    with pytest.raises(InputError, match="unknown node method 'pamc'"):
        NodeEmbedder.load(tmp_path)
    with pytest.raises(InputError, match="unknown node method 'pamc'"):
        NodeEmbedder("pamc").fit(planted())


def test_bad_data_and_settings_are_refused(embedder, planted):
    data = planted()
    data.x[4, 2] = float("nan")
    with pytest.raises(InputError, match="x is not finite in row 4, column 2"):
        embedder().fit(data)
    with pytest.raises(InputError, match="unknown parameter of grace 'temprature'; did you mean temperature"):
        embedder(params={"temprature": 1}).fit(planted())


def test_weights_that_explode_are_an_error_and_no_embedding(planted):
    model = NodeEmbedder(training=TrainingConfig(epochs=1, lr=1e30, device="cpu"))
    with pytest.raises(NonFiniteLossError, match="try a smaller lr"):
        model.fit(planted())
    assert not hasattr(model, "trained_")
    assert not hasattr(model, "embedding_")


def test_progress_goes_to_standard_error_with_the_seed(embedder, planted, capsys):
    embedder(seed=4, progress=True).fit(planted())
    assert "grace, seed 4: epoch 4/4" in capsys.readouterr().err
