from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import check_get_params_invariance, check_parameters_default_constructible, check_set_params
from torch_geometric.data import Data

from graphcl import datasets
from graphcl.errors import InputError
from graphcl.evaluation import clustering_scores
from graphcl.tasks import GraphClusterer
from graphcl.tasks.choose_k import choose_k
from graphcl.training import NonFiniteLossError, TrainingConfig


def test_cloning_keeps_every_setting_and_nothing_learned(clusterer, planted):
    fitted = clusterer(2, selection="label_free", seed=5).fit(planted())
    copied = clone(fitted)
    assert copied.get_params() == fitted.get_params()
    assert copied.get_params()["seed"] == 5
    assert not hasattr(copied, "labels_")
    assert copied.set_params(n_clusters=3).n_clusters == 3


def test_fit_returns_the_clusterer_with_everything_it_promises(clusterer, planted):
    data, model = planted(), clusterer(3)
    assert model.fit(data) is model
    n = data.num_nodes
    assert model.labels_.shape == (n,)
    assert model.labels_.dtype == np.int64
    assert set(model.labels_) <= {0, 1, 2}
    assert model.confidence_.shape == (n,)
    assert model.confidence_.dtype == np.float32
    assert ((model.confidence_ >= 1 / 3 - 1e-6) & (model.confidence_ <= 1)).all()
    assert model.embedding_.shape == (n, 8)
    assert model.embedding_.dtype == np.float32
    assert model.n_clusters_ == 3
    assert model.features_ == "given"
    assert model.epoch_ == 5
    assert [row["epoch"] for row in model.history_] == list(range(6))
    assert model.seconds_ > 0
    assert model.stamp_ is None


@pytest.mark.parametrize("call", ["predict", "score", "score_initial", "quality", "save"])
def test_nothing_is_answered_before_fit(clusterer, planted, call):
    with pytest.raises(NotFittedError, match="GraphClusterer has no clusters yet: call fit first"):
        getattr(clusterer(), call)(planted())


@pytest.mark.parametrize("epochs", [1, 3, 6])
def test_predict_on_the_graph_fitted_gives_the_labels_of_the_last_epoch(clusterer, planted, epochs):
    data = planted()
    model = clusterer(epochs=epochs)
    labels = model.fit_predict(data)
    np.testing.assert_array_equal(labels, model.labels_)
    np.testing.assert_array_equal(model.predict(data), labels)
    np.testing.assert_array_equal(model.predict(data.clone()), labels)


def test_predict_takes_another_graph_and_refuses_another_width(clusterer, planted):
    model = clusterer().fit(planted())
    other = planted(nodes=17, seed=1)
    assert model.predict(other).shape == (17,)
    other.x = other.x[:, :4]
    with pytest.raises(InputError, match=r"made for 5 features a node; got x of shape \(17, 4\)"):
        model.predict(other)


def test_communities_that_are_there_are_found(clusterer, planted):
    data = planted()
    model = clusterer(epochs=60, params={"warmup": 30}).fit(data)
    assert model.score(data)["acc"] > 0.9


def test_the_graph_is_not_changed(clusterer, planted):
    for data in (planted(), datasets.load("karate")):
        before = copy.deepcopy(data.to_dict())
        clusterer().fit(data).predict(data)
        after = data.to_dict()
        assert list(after) == list(before)
        for key, value in before.items():
            same = torch.equal(value, after[key]) if isinstance(value, torch.Tensor) else value == after[key]
            assert same, key


def test_a_graph_without_features_is_clustered_by_positional_ones(clusterer):
    data = datasets.load("karate")
    model = clusterer(None, epochs=30, params={"warmup": 20}).fit(data)
    assert model.features_ == "positional"
    assert model.n_clusters_ == 2
    assert model.score(data)["acc"] > 0.8
    np.testing.assert_array_equal(model.predict(data), model.labels_)


@pytest.mark.parametrize("n_clusters", [-1, 0, 1, 42, 2.5])
def test_a_number_of_clusters_that_the_graph_cannot_have_is_refused(clusterer, planted, n_clusters):
    with pytest.raises(InputError) as caught:
        clusterer(n_clusters).fit(planted())
    want = f"n_clusters must be a whole number in 2 .. 41, the number of nodes; got {n_clusters}"
    assert str(caught.value) == want


def test_as_many_clusters_as_nodes_are_allowed(clusterer, planted):
    assert clusterer(np.int64(7), epochs=4).fit(planted(nodes=7)).n_clusters_ == 7


def test_without_a_number_the_classes_are_counted(clusterer, planted):
    assert clusterer(None, epochs=2).fit(planted(classes=3)).n_clusters_ == 3


@pytest.mark.parametrize("y", [None, torch.zeros(41, 2)])
def test_without_a_number_and_without_one_class_a_node_the_question_is_put(clusterer, planted, y):
    data = planted()
    data.y = y
    with pytest.raises(InputError, match=r"how many clusters.*give n_clusters"):
        clusterer(None).fit(data)


def test_a_single_class_is_no_number_of_clusters(clusterer, planted):
    data = planted()
    data.y = torch.zeros(41, dtype=torch.long)
    with pytest.raises(InputError, match="at least two classes to be counted, and y has 1: give n_clusters"):
        clusterer(None).fit(data)


def test_classes_of_unlabelled_nodes_are_neither_counted_nor_scored(clusterer, planted):
    data = planted()
    data.unlabelled = torch.zeros(41, dtype=torch.bool)
    data.unlabelled[::3] = True
    data.y = torch.where(data.unlabelled, 99, data.y)
    model = clusterer(None).fit(data)
    assert model.n_clusters_ == 2
    keep = ~data.unlabelled.numpy()
    assert model.score(data) == clustering_scores(data.y.numpy()[keep], model.labels_[keep])


@pytest.mark.parametrize("y", [None, torch.zeros(41, 2)])
def test_oracle_needs_one_class_a_node(clusterer, planted, y):
    data = planted()
    data.y = y
    with pytest.raises(InputError, match="oracle selection needs labels"):
        clusterer(2, selection="oracle").fit(data)


def test_an_unknown_selection_is_refused(clusterer, planted):
    with pytest.raises(InputError, match="selection must be one of last, label_free, oracle; got 'best'"):
        clusterer(2, selection="best").fit(planted())


def test_oracle_takes_the_best_epoch_by_the_labels_and_carries_the_stamp(clusterer, planted):
    data = planted(seed=3)
    last, oracle = clusterer(epochs=20).fit(data), clusterer(epochs=20, selection="oracle").fit(data)
    assert oracle.score(data)["acc"] >= last.score(data)["acc"]
    assert 3 <= oracle.epoch_ <= 19
    assert oracle.stamp_.startswith("oracle: the epoch was chosen by the true labels")


@pytest.mark.parametrize("selection", ["last", "label_free"])
def test_the_oracle_is_noted_beside_and_changes_nothing(clusterer, planted, selection):
    data = planted(seed=3)
    plain, noted = (clusterer(epochs=60, selection=selection, oracle=asked).fit(data) for asked in (False, True))
    assert plain.oracle_ is None
    np.testing.assert_array_equal(plain.labels_, noted.labels_)
    np.testing.assert_array_equal(plain.embedding_, noted.embedding_)
    assert plain.history_ == noted.history_
    assert (plain.epoch_, plain.label_free_epoch_) == (noted.epoch_, noted.label_free_epoch_)
    assert noted.stamp_ is None
    assert noted.oracle_.scores["acc"] >= noted.score(data)["acc"]


def test_what_is_noted_is_what_a_run_with_oracle_selection_reports(clusterer, planted):
    data = planted(seed=3)
    data.unlabelled = torch.arange(41) % 5 == 0
    noted, chosen = clusterer(epochs=20, oracle=True).fit(data), clusterer(epochs=20, selection="oracle").fit(data)
    assert (noted.oracle_.epoch, noted.oracle_.scores) == (chosen.epoch_, chosen.score(data))
    assert chosen.oracle_ == noted.oracle_
    assert noted.epoch_ == 19 > noted.oracle_.epoch
    shorter = clusterer(epochs=noted.oracle_.epoch + 1).fit(data)
    assert shorter.score(data) == noted.oracle_.scores, "all of one epoch"


@pytest.mark.parametrize("y", [None, torch.zeros(41, 2)])
def test_without_one_class_a_node_the_oracle_has_nothing_to_note(clusterer, planted, y):
    data = planted()
    data.y = y
    assert clusterer(2, oracle=True).fit(data).oracle_ is None


def test_a_run_that_ends_inside_the_warm_up_has_one_epoch_to_note(clusterer, planted):
    data = planted()
    model = clusterer(epochs=2, oracle=True).fit(data)
    assert (model.oracle_.epoch, model.oracle_.scores) == (1, model.score(data))


@pytest.mark.parametrize("name", ["scgc-l", "magi"])
def test_there_is_no_oracle_where_clusters_are_made_at_the_end(planted, name):
    model = GraphClusterer(2, method=name, oracle=True, training=TrainingConfig(epochs=2, device="cpu"))
    assert model.fit(planted()).oracle_ is None


def test_label_free_stops_once_ten_epochs_were_calm(clusterer, planted):
    data = planted()
    free = clusterer(epochs=200, selection="label_free", params={"warmup": 30}).fit(data)
    assert len(free.history_) < 200
    assert free.epoch_ == free.label_free_epoch_ == len(free.history_) - 1
    assert all(row["changed"] < 1e-3 for row in free.history_[-10:])
    last = clusterer(epochs=free.epoch_ + 5, params={"warmup": 30}).fit(data)
    assert last.epoch_ == free.epoch_ + 4
    assert last.label_free_epoch_ == free.label_free_epoch_, "noted under every rule"


@pytest.mark.parametrize("selection", ["last", "label_free"])
def test_labels_never_influence_the_result(clusterer, planted, selection):
    data = planted()
    shuffled, without = data.clone(), data.clone()
    shuffled.y = data.y.flip(0) * 7
    del without.y
    results = [clusterer(2, selection=selection).fit(graph) for graph in (data, shuffled, without)]
    for other in results[1:]:
        np.testing.assert_array_equal(results[0].labels_, other.labels_)
        np.testing.assert_array_equal(results[0].embedding_, other.embedding_)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(clusterer, planted):
    data = planted()
    first = clusterer(seed=1).fit(data)
    torch.rand(5)
    again, other = clusterer(seed=1).fit(planted()), clusterer(seed=2).fit(data)
    np.testing.assert_array_equal(first.embedding_, again.embedding_)
    np.testing.assert_array_equal(first.confidence_, again.confidence_)
    np.testing.assert_array_equal(first.labels_, again.labels_)
    assert first.history_ == again.history_
    assert not np.array_equal(first.embedding_, other.embedding_)


def test_a_run_that_ends_inside_the_warm_up_is_clustered_all_the_same(clusterer, planted):
    model = clusterer(epochs=2).fit(planted())
    assert model.epoch_ == 1
    assert set(model.labels_) == {0, 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.x.__setitem__((4, 2), float("nan")), "x is not finite in row 4, column 2: fill or drop"),
        (lambda d: d.edge_index.__setitem__((0, 0), 41), "edge_index names nodes .* but there are 41: ids start at 0"),
        (lambda d: d.edge_index.__setitem__((1, 0), -1), "edge_index names nodes -1 .. "),
    ],
)
def test_bad_data_is_refused_by_fit_and_by_predict(clusterer, planted, change, message):
    data = planted()
    model = clusterer(epochs=1).fit(planted())
    change(data)
    with pytest.raises(InputError, match=message):
        clusterer().fit(data)
    with pytest.raises(InputError, match=message):
        model.predict(data)


def test_an_empty_graph_is_refused(clusterer):
    empty = Data(x=torch.zeros(0, 3), edge_index=torch.zeros(2, 0, dtype=torch.long))
    with pytest.raises(InputError, match="the graph has no nodes"):
        clusterer().fit(empty)


def test_an_unknown_method_and_an_unknown_parameter_are_refused_with_the_nearest_names(planted):
    with pytest.raises(InputError, match="unknown clustering method 'pmac'; did you mean pamc"):
        GraphClusterer(2, method="pmac").fit(planted())
    with pytest.raises(InputError, match="unknown parameter of pamc 'temprature'; did you mean temperature"):
        GraphClusterer(2, params={"temprature": 1}).fit(planted())
    with pytest.raises(InputError, match="unknown parameter of pamc 'n_clusters'"):
        GraphClusterer(2, params={"n_clusters": 3}).fit(planted())


def test_a_hyper_parameter_out_of_range_is_refused(planted):
    with pytest.raises(InputError, match=r"temperature must be > 0.*got -1"):
        GraphClusterer(2, params={"temperature": -1.0}).fit(planted())


@pytest.mark.parametrize(("epochs", "warmup"), [(1, 0), (1, 3), (5, 3), (8, 3)])
def test_weights_that_explode_are_an_error_and_never_clusters(epochs, warmup):
    training = TrainingConfig(epochs=epochs, lr=1e30, device="cpu")
    model = GraphClusterer(2, params={"warmup": warmup}, training=training)
    with pytest.raises(NonFiniteLossError, match="try a smaller lr"):
        model.fit(datasets.load("karate"))
    assert not hasattr(model, "labels_")


def test_scoring_takes_other_classes_and_refuses_none(clusterer, planted):
    data = planted()
    model = clusterer().fit(data)
    assert model.score(data, model.labels_)["acc"] == 1
    bare = data.clone()
    del bare.y
    assert model.score(bare, data.y.numpy()) == model.score(data)
    with pytest.raises(InputError, match="nothing to score against"):
        model.score(bare)


def test_observers_hear_of_the_start_once_all_is_accepted_and_then_of_every_epoch(clusterer, planted):
    heard = []

    class Ear:
        def on_fit_start(self, history):
            heard.append("start")

        def on_epoch_end(self, epoch, terms):
            heard.append((epoch, "changed" in terms))

    with pytest.raises(InputError):
        clusterer(99).fit(planted(), observers=[Ear()])
    with pytest.raises(InputError):
        clusterer(2, params={"hops": -1}).fit(planted(), observers=[Ear()])
    assert heard == []
    clusterer(epochs=5).fit(planted(), observers=[Ear()])
    # Three epochs of warm-up have no clusters, and the fourth has nothing to compare with.
    assert heard == ["start", (0, False), (1, False), (2, False), (3, False), (4, True)]


def test_progress_goes_to_standard_error_with_the_seed(clusterer, planted, capsys):
    clusterer(seed=4, progress=True).fit(planted())
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "pamc, seed 4: epoch 6/6" in captured.err


def test_the_setting_of_deterministic_algorithms_is_left_as_it_was(clusterer, planted):
    assert not torch.are_deterministic_algorithms_enabled()
    clusterer().fit(planted())
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_graph_that_will_not_fit_is_refused_before_training_unless_told_otherwise(clusterer, planted, monkeypatch):
    monkeypatch.setattr("graphcl.training.preflight.available_memory", lambda device: 2**20)
    model = clusterer()
    with pytest.raises(InputError, match=r"training needs about 64 MiB of memory and cpu has 1 MiB free"):
        model.fit(planted())
    assert not hasattr(model, "labels_")
    model.training = TrainingConfig(epochs=2, device="cpu", preflight=False)
    assert model.fit(planted()).labels_.shape == (41,)


@pytest.mark.parametrize(
    "check",
    [check_get_params_invariance, check_set_params, check_parameters_default_constructible],
    ids=lambda check: check.__name__,
)
def test_it_takes_its_settings_as_scikit_learn_demands(check):
    check("GraphClusterer", GraphClusterer())


@pytest.mark.parametrize("name", ["pamc", "sdcn", "scgc-k", "scgc-l", "dink-net", "magi"])
def test_what_was_saved_predicts_to_the_same_bits_for_this_graph_and_another(planted, tmp_path, name):
    data, other = planted(nodes=61), planted(nodes=17, seed=1)
    model = GraphClusterer(3, method=name, training=TrainingConfig(epochs=2, device="cpu"), seed=4).fit(data)
    assert model.save(tmp_path / "m") == tmp_path / "m"
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["model.json", "model.safetensors"]
    loaded = GraphClusterer.load(tmp_path / "m", device="cpu")
    np.testing.assert_array_equal(loaded.predict(data), model.labels_)
    np.testing.assert_array_equal(loaded.predict(other), model.predict(other))
    assert (loaded.method, loaded.n_clusters, loaded.n_clusters_, loaded.n_features_in_, loaded.seed) == (name, 3, 3, 5, 4)
    with pytest.raises(InputError, match="holds weights and no clusters of a graph: ask predict"):
        loaded.score(data)
    with pytest.raises(InputError, match="holds a model already"):
        model.save(tmp_path / "m")
    np.testing.assert_array_equal(loaded.fit(data).labels_, model.labels_)


def test_new_nodes_are_predicted_with_the_graph_they_came_to(clusterer, planted):
    data = planted()
    model = clusterer(epochs=40, params={"warmup": 30}).fit(data)
    copies = torch.tensor([0, 40])  # a twin of the first node and of the last, joined to what they are joined to
    twins = [torch.stack([torch.full_like(ends, 41 + at), ends]) for at, node in enumerate(copies)
             for ends in (data.edge_index[1][data.edge_index[0] == node],)]  # fmt: skip
    more = torch.cat(twins, 1)
    grown = Data(x=torch.cat([data.x, data.x[copies]]), edge_index=torch.cat([data.edge_index, more, more.flip(0)], 1))
    predicted = model.predict(grown)
    assert predicted[41:].tolist() == model.labels_[copies].tolist()
    assert (predicted[:41] == model.labels_).mean() > 0.9


def test_a_system_of_another_task_is_not_loaded(embedder, planted, tmp_path):
    embedder().fit(planted()).save(tmp_path / "m")
    with pytest.raises(InputError, match="unknown clustering method 'grace'"):
        GraphClusterer.load(tmp_path / "m")


def test_auto_takes_the_choice_of_k_and_says_what_spoke_for_it(clusterer, planted):
    data = planted(nodes=90, classes=3)
    model = clusterer("auto", candidates=range(2, 7), seed=2).fit(data)
    assert model.choice_ == choose_k(data, range(2, 7), seed=2)
    assert model.n_clusters_ == model.choice_.n_clusters == 3
    np.testing.assert_array_equal(model.labels_, clusterer(3, seed=2).fit(data).labels_)
    assert clusterer(3).fit(data).choice_ is None
    by = clusterer("auto", candidates=[2, 3], criterion="stability").fit(data).choice_
    assert (by.by, by.ks) == ("stability", (2, 3))
    assert clone(model).get_params()["n_clusters"] == "auto"


def test_another_word_than_auto_is_refused(clusterer, planted):
    with pytest.raises(InputError, match="n_clusters must be a whole number, 'auto', or None; got 'many'"):
        clusterer("many").fit(planted())


def test_quality_is_of_the_graph_fitted(clusterer, planted):
    data = planted()
    model = clusterer(3).fit(data)
    found = model.quality(data)
    assert found.sizes.tolist() == np.bincount(model.labels_, minlength=3).tolist()
    with pytest.raises(InputError, match="the graph fitted has 41 nodes, and this one has 17"):
        model.quality(planted(nodes=17))


@pytest.mark.parametrize("name", ["scgc-l", "magi"])
@pytest.mark.parametrize("selection", ["label_free", "oracle"])
def test_an_epoch_cannot_be_chosen_where_clusters_are_made_at_the_end(planted, name, selection):
    model = GraphClusterer(2, method=name, selection=selection, training=TrainingConfig(epochs=2, device="cpu"))
    with pytest.raises(
        InputError, match=f"{name} makes its clusters at the end of training.*{selection}: use selection='last'"
    ):
        model.fit(planted())
