from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from graphcl import datasets
from graphcl.errors import InputError
from graphcl.models import SYSTEMS
from graphcl.recsys import load
from graphcl.tasks import GraphClusterer, NodeEmbedder, Recommender, Trained
from graphcl.training import NonFiniteLossError, RunFolder, TrainingConfig


@pytest.fixture
def folder(embedder, planted, tmp_path):
    """A folder with a trained system; its columns have names."""
    data = planted()
    data.feature_names = list("abcde")
    embedder(seed=3).fit(data).trained_.write(RunFolder(tmp_path / "m"))
    return tmp_path / "m"


def test_what_was_written_embeds_to_the_same_bits(embedder, planted, tmp_path):
    model = embedder(seed=3, params={"activation": "prelu"}).fit(planted())
    model.trained_.write(RunFolder(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
    trained = Trained.read(tmp_path)
    np.testing.assert_array_equal(trained.embed(planted()), model.embedding_)
    other = planted(nodes=17, seed=1)
    np.testing.assert_array_equal(trained.embed(other), model.embed(other))
    assert (trained.method, trained.sizes, trained.seed, trained.features) == ("grace", (5,), 3, "given")
    assert trained.training == model.training
    assert trained.params["activation"] == "prelu"
    assert trained.feature_names is None


def test_a_clustering_system_embeds_again_as_well(clusterer, planted, tmp_path):
    model = clusterer(3).fit(planted())
    model.trained_.write(RunFolder(tmp_path))
    trained = Trained.read(tmp_path)
    assert trained.sizes == (5, 3)
    np.testing.assert_array_equal(trained.embed(planted()), model.embedding_)


@pytest.mark.parametrize("name", [name for name, entry in SYSTEMS.items() if entry.task in ("node", "clustering")])
def test_every_system_comes_back_and_takes_another_graph(planted, tmp_path, name):
    training = TrainingConfig(epochs=2, device="cpu")
    make = {"clustering": lambda: GraphClusterer(2, method=name, training=training)}
    model = make.get(SYSTEMS[name].task, lambda: NodeEmbedder(name, training=training))().fit(planted())
    model.trained_.write(RunFolder(tmp_path))
    trained = Trained.read(tmp_path)
    np.testing.assert_array_equal(trained.embed(planted()), model.embedding_)
    other = planted(nodes=17, seed=1)
    assert trained.embed(other).shape == (17, model.embedding_.shape[1])


def test_features_of_another_width_name_what_is_missing_and_what_is_new(folder, planted):
    data = planted()
    data.x = data.x[:, :4]
    trained = Trained.read(folder)
    with pytest.raises(InputError, match=r"grace was made for 5 features a node; got x of shape \(41, 4\): give it the same"):
        trained.embed(data)
    data.feature_names = ["a", "c", "d", "f"]
    with pytest.raises(InputError, match=r"shape \(41, 4\): missing b, e; not known f"):
        trained.embed(data)


def test_columns_in_another_order_are_refused_by_name(folder, planted):
    data = planted()
    data.feature_names = list("acbde")
    with pytest.raises(InputError, match="in their order: column 1 was 'b' and is 'c'"):
        Trained.read(folder).embed(data)


def test_positional_features_hold_for_the_one_graph_even_after_reading(embedder, planted, tmp_path):
    karate = datasets.load("karate")
    model = embedder().fit(karate)
    assert model.features_ == "positional"
    model.trained_.write(RunFolder(tmp_path))
    trained = Trained.read(tmp_path)
    np.testing.assert_array_equal(trained.embed(karate), model.embedding_)
    with pytest.raises(InputError, match="positional features do not carry over to another graph"):
        trained.embed(datasets.load("davis"))
    with pytest.raises(InputError, match=r"was trained on positional features.*this one has 5 of its own"):
        trained.embed(planted())


def test_a_graph_without_features_is_refused_by_a_system_that_had_them(folder):
    with pytest.raises(InputError, match="positional features do not carry over"):
        Trained.read(folder).embed(datasets.load("karate"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda about: about.update(format=2), "has format version 2, and this graphcl reads up to 1: use a newer"),
        (lambda about: about.update(format="x"), "has format version x"),
        (lambda about: about.pop("sizes"), r"model\.json is damaged or was changed \('sizes'\): train again"),
        (lambda about: about.update(sizes=[5, 5]), r"model\.json is damaged or was changed"),
        (lambda about: about.update(features="none"), r"model\.json is damaged or was changed"),
        (lambda about: about.update(training=3), r"model\.json is damaged or was changed"),
        (lambda about: about.update(system="grase"), "unknown system 'grase'; did you mean grace"),
        (lambda about: about["model"].update(hidden="many"), "model.hidden: Input should be a valid integer"),
        (lambda about: about["model"].update(hidden=9), "does not fit this system"),
        (lambda about: about["training"].update(epochs=0), "epochs must be >= 1"),
    ],
)
def test_a_description_that_was_changed_is_one_line(folder, change, message):
    path = folder / "model.json"
    about = json.loads(path.read_text())
    change(about)
    path.write_text(json.dumps(about))
    with pytest.raises(InputError, match=message) as caught:
        Trained.read(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", "{", "3", '{"form": 1}'])
def test_a_description_that_is_none_is_one_line(folder, content):
    (folder / "model.json").write_text(content)
    with pytest.raises(InputError, match=r"model\.json cannot be read as the description of a model"):
        Trained.read(folder)


def test_folders_without_a_finished_run_say_what_to_do(folder, tmp_path):
    with pytest.raises(InputError, match="nowhere: there is no such folder"):
        Trained.read(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"holds no trained system, for want of model\.json"):
        Trained.read(tmp_path)
    (folder / "config.yaml").write_text("")
    with pytest.raises(InputError, match=r"holds a run that is not finished.*: start it again"):
        Trained.read(folder)
    (folder / "checkpoints").mkdir()
    with pytest.raises(InputError, match=r"not finished, .*: finish it with graphcl run --resume"):
        Trained.read(folder)
    (folder / "metrics.json").write_text("{}")
    assert Trained.read(folder).sizes == (5,)


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_weights_that_are_damaged_or_gone_are_one_line(folder, damage):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-9]) if damage == "cut" else path.unlink()
    with pytest.raises(InputError, match=r"model\.safetensors"):
        Trained.read(folder)


def test_weights_that_are_not_finite_are_an_error_and_no_embedding(folder, planted):
    trained = Trained.read(folder)
    with torch.no_grad():
        trained.system.encoder.weights[0].fill_(float("inf"))
    with pytest.raises(NonFiniteLossError, match="the embedding is not finite"):
        trained.embed(planted())


def test_a_recommender_is_no_embedder_of_graphs(tmp_path):
    split = load("davis")
    Recommender("popularity").fit(split.train).save(tmp_path / "model")
    with pytest.raises(InputError, match="holds a recommender, which embeds no graphs"):
        Trained.read(tmp_path / "model")
