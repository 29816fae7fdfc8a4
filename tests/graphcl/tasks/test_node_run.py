from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from graphcl.errors import InputError
from graphcl.evaluation import linear_probe, random_splits
from graphcl.tasks import node_run, run_system
from graphcl.tasks.node_run import NodeJudge
from graphcl.training import RunFolder

FILES = [
    "config.yaml", "embeddings.npy", "environment.json", "metrics.json", "metrics.jsonl", "model.json", "model.safetensors",
]  # fmt: skip


@pytest.fixture
def done(node_config, planted, tmp_path):
    config, data, said = node_config(splits=3), planted(nodes=120), []
    run = run_system(config, data, RunFolder(tmp_path / "r"), say=said.append)
    metrics = json.loads((tmp_path / "r" / "metrics.json").read_text())
    return SimpleNamespace(config=config, data=data, path=tmp_path / "r", run=run, metrics=metrics, said=said)


def public(data):
    for key, low in (("train_mask", 0), ("val_mask", 1), ("test_mask", 2)):
        data[key] = torch.arange(data.num_nodes) % 3 == low
    return data


def test_the_folder_and_its_metrics_have_their_shape(done):
    assert sorted(path.name for path in done.path.iterdir()) == FILES
    metrics = done.metrics
    assert list(metrics) == [
        "system", "dataset", "protocol", "seeds", "metrics", "split_std", "baselines", "seconds", "peak_memory_mb",
    ]  # fmt: skip
    assert metrics["protocol"] == {
        "name": "random 10/10/80",
        "splits": 3,
        "stamp": "3 of the 20 splits of the protocol",
        "unscored": None,
        "features": "given",
        "baseline_splits": {},
    }
    assert list(metrics["baselines"]) == ["raw", "filtered-2", "random-gcn-8"]
    for name, scores in {"grace": metrics["metrics"], **metrics["baselines"]}.items():
        assert list(scores) == ["acc", "f1", "val_acc"]
        for value in scores.values():
            assert len(value["values"]) == (1 if name in ("raw", "filtered-2") else 2)
    assert done.said == [
        "a linear probe on 2 embeddings, 3 splits",
        "raw features, filtered features and an untrained network, for comparison",
    ]


def test_means_are_over_splits_and_deviations_over_seeds_and_splits_apart(done):
    splits = random_splits(done.data, 3)
    probes = []
    for seed in (0, 1):
        face = NodeJudge(done.config, done.data).face(seed, progress=False)
        probes.append(linear_probe(face.fit(done.data).embedding_, done.data.y, splits))
    acc = [probe.metrics["acc"] for probe in probes]
    got = done.metrics["metrics"]["acc"]
    assert got["values"] == acc
    assert got["std"] == pytest.approx(np.std(acc, ddof=1))
    assert done.metrics["split_std"]["acc"] == pytest.approx(np.mean([probe.split_std["acc"] for probe in probes]))
    val = [np.mean([split.val_accuracy for split in probe.splits]) for probe in probes]
    assert done.metrics["metrics"]["val_acc"]["values"] == pytest.approx(val)
    raw = linear_probe(done.data.x, done.data.y, splits)
    assert done.metrics["baselines"]["raw"]["acc"]["values"] == [raw.metrics["acc"]]
    np.testing.assert_array_equal(np.load(done.path / "embeddings.npy"), done.run.first.embedding_)


def test_a_split_that_the_data_brings_is_taken_unless_another_is_asked_for(node_config, planted):
    data = public(planted(nodes=120))
    assert [split.name for split in NodeJudge(node_config(), data).splits] == ["public"]
    assert len(NodeJudge(node_config(protocol="random"), data).splits) == 20
    with pytest.raises(InputError, match="splits = 3 is a number of random splits, and the public protocol has its own"):
        NodeJudge(node_config(splits=3), data)
    with pytest.raises(InputError, match=r"the data has no public split \(no train_mask"):
        NodeJudge(node_config(protocol="public"), planted())


def test_wide_baselines_are_probed_on_fewer_splits_and_say_so(node_config, planted, monkeypatch):
    monkeypatch.setattr(node_run, "WORK", 2 * 12 * 5)
    data, config = planted(nodes=120), node_config(seeds=(0,), splits=3)
    verdict = NodeJudge(config, data).judge([NodeJudge(config, data).face(0, progress=False).fit(data)], lambda line: None)
    assert verdict.protocol["baseline_splits"] == {"raw": 2, "filtered-2": 2}
    want = linear_probe(data.x, data.y, random_splits(data, 2)).metrics["acc"]
    assert verdict.baselines["raw"]["acc"]["mean"] == want
    monkeypatch.setattr(node_run, "WORK", 1)
    assert len(NodeJudge(config, data)._affordable(5)) == 1


def test_baselines_may_be_left_out_and_are_where_they_would_not_fit(node_config, planted, monkeypatch):
    data, said = planted(nodes=120), []
    config = node_config(seeds=(0,), splits=2, baselines=False)
    fitted = [NodeJudge(config, data).face(0, progress=False).fit(data)]
    assert NodeJudge(config, data).judge(fitted, said.append).baselines == {}
    monkeypatch.setattr(node_run, "available_memory", lambda device: 1000)
    verdict = NodeJudge(node_config(seeds=(0,), splits=2), data).judge(fitted, said.append)
    assert verdict.baselines == {}
    assert verdict.metrics["acc"]["mean"] > 0
    assert said[-1] == "no baselines: the features filtered by the graph would not fit into memory"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data.__delattr__("y"), "the data has no y"),
        (lambda data: data.__setattr__("y", torch.zeros(41, 2)), "y must be one integer class"),
        (lambda data: data.__setattr__("y", torch.arange(41)), "none of its 4 training nodes has class"),
    ],
)
def test_what_cannot_be_scored_is_embedded_and_the_reason_is_given_unless_a_protocol_was_asked_for(
    node_config, planted, tmp_path, change, reason
):
    data, said = planted(), []
    change(data)
    run_system(node_config(seeds=(0,)), data, RunFolder(tmp_path / "r"), say=said.append)
    metrics = json.loads((tmp_path / "r" / "metrics.json").read_text())
    assert (metrics["metrics"], metrics["baselines"], metrics["protocol"]["name"]) == ({}, {}, None)
    assert reason in metrics["protocol"]["unscored"]
    assert said == [f"not scored: {metrics['protocol']['unscored']}"]
    with pytest.raises(InputError, match=reason):
        run_system(node_config(protocol="random"), data, RunFolder(tmp_path / "s"))
    assert not (tmp_path / "s").exists(), "found out before anything was trained"


def test_the_same_run_again_gives_the_same_bits(done, tmp_path):
    run_system(done.config, done.data, RunFolder(tmp_path / "again"))
    again = json.loads((tmp_path / "again" / "metrics.json").read_text())
    for name in ("metrics", "split_std", "baselines", "protocol"):
        assert again[name] == done.metrics[name]
    for name in set(FILES) - {"metrics.json", "environment.json"}:
        assert (tmp_path / "again" / name).read_bytes() == (done.path / name).read_bytes(), name
