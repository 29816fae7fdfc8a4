from __future__ import annotations

import json

import numpy as np
import pytest
import yaml

FILES = sorted(
    [
        "clusters.npy", "config.yaml", "embedding.png", "embeddings.npy", "environment.json", "loss.png", "metrics.json",
        "metrics.jsonl", "model.json", "model.safetensors", "results.md",
    ]
)  # fmt: skip
QUICK = ["--epochs", "3", "--seeds", "1", "--device", "cpu", "--set", "warmup=2", "--set", "hidden=8", "--set", "n_init=2"]


def test_a_run_writes_its_folder_and_prints_the_table(cli, tmp_path):
    answer = cli("run", "pamc", "karate", *QUICK, "--out", "r")
    assert answer.code == 0, answer.err
    assert answer.paths == ["r", *(f"r/{name}" for name in FILES)]
    metrics = json.loads((tmp_path / "r" / "metrics.json").read_text())
    for name in ("pamc", "kmeans-raw", "kmeans-filtered-2"):
        scores = metrics["metrics"] if name == "pamc" else metrics["baselines"][name]
        (line,) = [line for line in answer.out.splitlines() if line.split()[:1] == [name] and "on" not in line.split()]
        assert line.split()[1:] == [f"{value['mean']:.4f}" for value in scores.values()]
    assert yaml.safe_load((tmp_path / "r" / "config.yaml").read_text())["training"]["epochs"] == 3
    assert answer.out.splitlines()[-1] == "run folder: r"
    assert "karate (embedded): 34 nodes" in answer.err.splitlines()[0]


def test_the_words_on_the_command_line_reach_the_run(cli, tmp_path):
    cli("run", "pamc", "karate", *QUICK, "--set", "model.temperature=0.25", "--selection", "oracle", "--seeds", 2, "--out", "r")
    config = yaml.safe_load((tmp_path / "r" / "config.yaml").read_text())
    assert config["model"]["temperature"] == 0.25
    assert config["seeds"] == [0, 1], "the last of two --seeds holds"
    assert config["selection"] == "oracle"


def test_oracle_is_stamped_on_the_screen_and_in_every_file_with_numbers(cli, tmp_path):
    answer = cli("run", "pamc", "karate", *QUICK, "--selection", "oracle", "--out", "r")
    assert "STAMPED oracle: the epoch was chosen by the true labels" in " ".join(answer.out.split())
    assert "STAMPED oracle" in (tmp_path / "r" / "results.md").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "r" / "metrics.json").read_text())["protocol"]["stamp"].startswith("oracle")


def test_the_same_command_gives_the_same_bits(cli, tmp_path):
    for name in ("a", "b"):
        assert cli("run", "pamc", "karate", *QUICK, "--out", name).code == 0
    for name in ("clusters.npy", "embeddings.npy", "metrics.jsonl", "config.yaml"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_a_data_set_under_a_root_is_found_and_named_with_its_domain(cli, tmp_path):
    folder = tmp_path / "root" / "citation" / "mine"
    folder.mkdir(parents=True)
    ring = np.array([[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0]])
    np.savez(folder / "data.npz", edge_index=ring, x=np.eye(6, dtype=np.float32), y=np.arange(6) // 3)
    answer = cli("run", "pamc", "mine", *QUICK, "--data", tmp_path / "root", "--out", "r")
    assert answer.code == 0, answer.err
    assert json.loads((tmp_path / "r" / "metrics.json").read_text())["dataset"] == "citation/mine"


def test_print_config_prints_yaml_and_trains_nothing(cli):
    answer = cli("run", "--print-config", "--epochs", 7, "--set", "temperature=0.25")
    assert answer.code == 0
    assert answer.err == ""
    assert answer.paths == []
    config = yaml.safe_load(answer.out)
    assert (config["system"], config["dataset"], config["seeds"]) == ("pamc", "digits", [0, 1, 2])
    assert config["training"]["epochs"] == 7
    assert config["model"]["temperature"] == 0.25


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pammc"], ["unknown system 'pammc'; did you mean pamc?"]),
        (["pamc", "karatee"], ["unknown data set 'karatee'; did you mean karate", "--data ROOT"]),
        (["pamc", "karate", "--data", "nowhere"], ["nowhere", "does not exist"]),
        (["pamc", "karate", "--set", "temprature=1"], ["unknown key 'temprature'; did you mean temperature"]),
        (["pamc", "karate", "--set", "temperature"], ["--set expects key=value"]),
        (["pamc", "karate", "--set", "temperature=-1"], ["temperature must be > 0", "got -1"]),
        (["pamc", "karate", "--set", "temperature=nan"], ["temperature must be > 0", "got nan"]),
        (["pamc", "karate", "--set", "temperature=warm"], ["model.temperature", "valid number", "got 'warm'"]),
        (["pamc", "karate", "--set", "hops=-1"], ["hops must be >= 0; got -1"]),
        (["pamc", "karate", "--set", "lr=1e999"], ["lr must be > 0; got inf"]),
        (["pamc", "karate", "--epochs", "0"], ["epochs must be >= 1; got 0"]),
        (["pamc", "karate", "--seeds", "0"], ["seeds", "1 .. 1000", "got 0"]),
        (["pamc", "karate", "--seeds", "20240101"], ["number of runs", "got 20240101"]),
        (["pamc", "karate", "--selection", "best"], ["'last', 'label_free' or 'oracle'", "got 'best'"]),
        (["pamc", "karate", "--device", "quark"], ["device 'quark' cannot be used here", "try --device cpu"]),
        (["pamc", "karate", "--device", "cuda:77"], ["device 'cuda:77' cannot be used here"]),
        (["pamc", "karate", "--device", "meta"], ["device 'meta' cannot be used here"]),
        (["grace", "karate", "--k", "3"], ["--k is for clustering systems, and grace is a node system: leave it out"]),
        (["grace", "karate", "--selection", "last"], ["--selection is for clustering systems", "take --protocol and --splits"]),
        (
            ["pamc", "karate", "--protocol", "random"],
            ["--protocol is for node, recommendation and sequential systems, and pamc is a clustering system"],
        ),
        (["grace", "karate", "--protocol", "publik"], ["unknown protocol 'publik'; did you mean public"]),
        (["grace", "karate", "--protocol", "public"], ["the data has no public split"]),
        (["grace", "davis", "--protocol", "random"], ["the data has no y"]),
        (["grace", "karate", "--splits", "0"], ["splits must be >= 1"]),
        (
            ["grace", "karate", "--every", "3"],
            ["--every is for recommendation and sequential systems, and grace is a node system: leave it out"],
        ),
        (["pamc", "karate", "--no-refit"], ["--refit/--no-refit is for recommendation and sequential systems"]),
        (
            ["lightgcn", "davis", "--k", "3"],
            ["--k is for clustering systems", "take --protocol, --every, --patience and --refit"],
        ),
        (["lightgcn", "davis", "--splits", "3"], ["--splits is for node systems, and lightgcn is a recommendation system"]),
        (["lightgcn", "davis", "--protocol", "publik"], ["unknown ranking protocol 'publik'"]),
        (["lightgcn", "davis", "--protocol", "lit-sampled-100"], ["only all are ranked"]),
        (["lightgcn", "davis", "--protocol", "strict"], ["the split was made by protocol 'lit-ratio'; got 'strict'"]),
        (["lightgcn", "davis", "--every", "0"], ["every must be >= 1"]),
        (["lightgcn", "davis", "--patience", "0"], ["patience must be >= 1"]),
        (["lightgcn", "davis", "--set", "layers=-1"], ["layers", "must be >= 0", "got -1"]),
        (["lightgcn", "davis", "--set", "sampler=best"], ["unknown sampler 'best'"]),
        (["lightgcn", "daviss"], ["unknown data set 'daviss'; did you mean davis"]),
        (["lightgcn", "karate"], ["data set 'karate' is a graph, and a recommendation system takes interactions"]),
        (["ease", "davis", "--set", "l2=0"], ["l2 must be > 0"]),
        (["ease", "davis", "--set", "seed=1"], ["unknown key 'seed'"]),
        (["pamc", "davis"], ["how many clusters?"]),
        (["pamc", "davis", "--selection", "oracle"], ["how many clusters?"]),
    ],
)
@pytest.mark.parametrize("out", [[], ["--out", "r"]])
def test_what_cannot_be_run_is_one_line_and_leaves_nothing(cli, arguments, words, out):
    answer = cli("run", *arguments, *out)
    for word in words:
        assert word in answer.complaint
    assert answer.paths == []


def test_a_folder_that_holds_a_run_is_refused_and_left_as_it_was(cli, tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "metrics.json").write_text("mine")
    answer = cli("run", "pamc", "karate", *QUICK, "--out", "r")
    assert answer.complaint == "r holds a run already; name another folder with --out, or remove it"
    assert answer.paths == ["r", "r/metrics.json"]
    assert (tmp_path / "r" / "metrics.json").read_text() == "mine"


@pytest.mark.parametrize("out", ["f", "f/r"])
def test_a_file_in_the_way_is_one_line(cli, tmp_path, out):
    (tmp_path / "f").write_text("mine")
    answer = cli("run", "pamc", "karate", *QUICK, "--out", out)
    assert out in answer.complaint
    assert "name a" in answer.complaint
    assert answer.paths == ["f"]


def test_a_graph_without_classes_is_run_with_k(cli, tmp_path):
    answer = cli("run", "pamc", "davis", "--k", "3", *QUICK, "--out", "davis")
    assert answer.code == 0, answer.err
    assert yaml.safe_load((tmp_path / "davis" / "config.yaml").read_text())["n_clusters"] == 3


def test_a_data_set_in_the_place_of_the_system_is_recognised(cli):
    answer = cli("run", "digits")
    assert answer.code == 2
    assert answer.err == "error: 'digits' is a data set, and the system comes first; try: graphcl run pamc digits\n"


def unfinished(cli, monkeypatch, *arguments):
    """A run that was stopped after its second epoch."""
    from graphcl.training import Checkpoint

    plain = Checkpoint.after_epoch

    def dies(self, system, state, observers):
        plain(self, system, state, observers)
        if state.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "after_epoch", dies)
    assert cli("run", "pamc", *arguments, *QUICK, "--set", "checkpoint_seconds=0", "--out", "r").code == 130
    monkeypatch.setattr(Checkpoint, "after_epoch", plain)


@pytest.mark.parametrize(
    "more",
    [
        ["pamc"], ["pamc", "karate"], ["--k", "3"], ["--set", "lr=1"], ["--seeds", "1"], ["--out", "s"],
        ["--selection", "last"], ["--device", "cpu"], ["--print-config"], ["--protocol", "public"], ["--splits", "3"],
        ["--no-baselines"], ["--every", "2"], ["--patience", "2"], ["--refit"],
    ],
)  # fmt: skip
def test_going_on_takes_no_other_wishes(cli, more):
    answer = cli("run", *more, "--resume", "r")
    assert "--resume DIR goes on with the run as it was started: only --data ROOT and more --epochs may" in answer.complaint


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "--resume r: there is no such folder"),
        (["r/notes.txt"], "--resume r: there is no run that could go on, for want of config.yaml or checkpoints/"),
        (["r/config.yaml"], "there is no run that could go on"),
        (["r/config.yaml", "r/checkpoints/x"], "r/environment.json is missing or damaged"),
    ],
)
def test_a_folder_without_a_run_to_go_on_with_is_one_line(cli, tmp_path, monkeypatch, files, words):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    if len(files) == 2:
        assert cli("run", "pamc", "karate", *QUICK, "--out", "whole").code == 0
        (tmp_path / "r" / "config.yaml").write_bytes((tmp_path / "whole" / "config.yaml").read_bytes())
    answer = cli("run", "--resume", "r")
    assert words in answer.complaint


def test_a_run_on_data_from_a_root_goes_on_with_the_root_and_refuses_data_that_changed(cli, tmp_path, monkeypatch):
    folder = tmp_path / "root" / "citation" / "mine"
    folder.mkdir(parents=True)
    ring = np.array([[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0]])

    def write(labels):
        np.savez(folder / "data.npz", edge_index=ring, x=np.eye(6, dtype=np.float32), y=labels)

    write(np.arange(6) // 3)
    unfinished(cli, monkeypatch, "mine", "--data", tmp_path / "root")
    assert "unknown data set 'citation/mine'" in cli("run", "--resume", "r").complaint
    write(np.arange(6) % 2)
    assert "was started on data with checksum" in cli("run", "--resume", "r", "--data", tmp_path / "root").complaint
    write(np.arange(6) // 3)
    answer = cli("run", "--resume", "r", "--data", tmp_path / "root")
    assert answer.code == 0, answer.err
    assert json.loads((tmp_path / "r" / "metrics.json").read_text())["dataset"] == "citation/mine"


def test_a_configuration_that_was_changed_after_a_checkpoint_is_refused(cli, tmp_path, monkeypatch):
    unfinished(cli, monkeypatch, "karate")
    path = tmp_path / "r" / "config.yaml"
    path.write_text(path.read_text().replace("lr: 0.001", "lr: 0.5"))
    assert "is of another configuration: it says" in cli("run", "--resume", "r").complaint.splitlines()[-1]


NODE = ["--epochs", "2", "--seeds", "2", "--device", "cpu", "--set", "hidden=8", "--set", "projection=8"]


def test_a_node_system_is_probed_and_its_table_shows_what_stands_beside_it(cli, tmp_path):
    answer = cli("run", "grace", "karate", *NODE, "--splits", 1, "--out", "r")
    assert answer.code == 0, answer.err
    assert answer.paths == ["r", *(f"r/{name}" for name in FILES if name != "clusters.npy")]
    metrics = json.loads((tmp_path / "r" / "metrics.json").read_text())
    assert metrics["protocol"]["name"] == "random 10/10/80"
    for name in ("grace", "raw", "filtered-2", "random-gcn-8"):
        (line,) = [line for line in answer.out.splitlines() if line.split()[:1] == [name] and "on" not in line.split()]
        scores = metrics["metrics"] if name == "grace" else metrics["baselines"][name]
        assert [cell.split("±")[0] for cell in line.split()[1:]] == [f"{value['mean']:.4f}" for value in scores.values()]
    text = " ".join(answer.out.split())
    assert "linear probe, random 10/10/80 split" in text
    assert "STAMPED 1 of the 20 splits of the protocol" in text


def test_baselines_can_be_left_out(cli, tmp_path):
    answer = cli("run", "grace", "karate", *NODE, "--splits", 1, "--no-baselines", "--out", "r")
    assert answer.code == 0, answer.err
    assert json.loads((tmp_path / "r" / "metrics.json").read_text())["baselines"] == {}


def write_set(folder, **more):
    folder.mkdir(parents=True)
    ring = np.array([[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0]])
    np.savez(folder / "data.npz", edge_index=ring, x=np.eye(6, dtype=np.float32), y=np.arange(6) % 2, **more)


def test_of_two_sets_of_one_name_the_task_chooses_and_else_both_are_listed(cli, tmp_path):
    for domain in ("citation", "clustering", "coauthor", "copurchase"):
        write_set(tmp_path / "root" / domain / ("both" if domain[0:2] in ("ci", "cl") else "other"))
    root = ["--data", tmp_path / "root", "--print-config"]
    assert "dataset: citation/both" in cli("run", "grace", "both", *root).out
    assert "dataset: clustering/both" in cli("run", "pamc", "both", *root).out
    complaint = cli("run", "grace", "other", *root).complaint
    assert "data set 'other' is in 2 domains; say copurchase/other or coauthor/other" in complaint


def test_the_split_that_comes_with_a_set_is_the_protocol(cli, tmp_path):
    masks = {key: np.arange(6) // 2 == part for part, key in enumerate(("train_mask", "val_mask", "test_mask"))}
    write_set(tmp_path / "root" / "citation" / "mine", **masks)
    answer = cli("run", "grace", "mine", *NODE, "--data", tmp_path / "root", "--out", "r")
    assert answer.code == 0, answer.err
    protocol = json.loads((tmp_path / "r" / "metrics.json").read_text())["protocol"]
    assert (protocol["name"], protocol["splits"], protocol["stamp"]) == ("public", 1, None)


def test_a_run_that_diverged_says_how_to_go_on_or_to_start_anew(cli):
    bad = ["run", "grace", "karate", *NODE, "--set", "lr=1e30", "--epochs", 5, "--out", "r"]
    answer = cli(*bad)
    assert answer.code == 1
    assert "try a smaller lr" in answer.err.splitlines()[-1]
    assert "r/metrics.json" not in answer.paths
    want = "r holds an unfinished run: continue it with graphcl run --resume r, or name another folder with --out"
    assert cli(*bad).complaint == want


RANKED = ["--seeds", 2, "--device", "cpu", "--set", "dim=8"]


def test_a_recommendation_run_writes_its_folder_and_prints_the_table(cli, tmp_path):
    answer = cli("run", "lightgcn", "davis", *RANKED, "--epochs", 4, "--every", 2, "--out", "r")
    assert answer.code == 0, answer.err
    metrics = json.loads((tmp_path / "r" / "metrics.json").read_text())
    assert list(metrics["baselines"]) == ["popularity", "item-knn", "ease", "gf-cf", "ials"]
    for name in ("lightgcn", *metrics["baselines"]):
        scores = metrics["metrics"] if name == "lightgcn" else metrics["baselines"][name]
        (line,) = [line for line in answer.out.splitlines() if line.split()[:1] == [name] and "on" not in line.split()]
        shown = [scores[metric]["mean"] for metric in ("recall@10", "ndcg@10", "recall@20", "ndcg@20")]
        assert [cell.split("±")[0] for cell in line.split()[1:]] == [f"{value:.4f}" for value in shown]
    text = " ".join(answer.out.split())
    assert "all items ranked, protocol lit-ratio, selection=valid, checks passed: disjoint, graph, repeatable" in text
    assert "davis (embedded): 18 users, 14 items, 89 interactions" in answer.err.splitlines()[0]
    files = {path.removeprefix("r/") for path in answer.paths if path.startswith("r/")}
    assert files >= {"config.yaml", "metrics.jsonl", "users.npy", "items.npy", "per_user.parquet", "model.json", "loss.png"}
    assert not files & {"embeddings.npy", "embedding.png"}
    assert any("checkpoints" in name for name in files) == ("may give more" in answer.err)


def test_a_recommendation_run_that_was_stopped_anywhere_ends_with_the_same_metrics(cli, tmp_path, stopped_at):
    words = ["run", "sgl", "davis", *RANKED, "--epochs", 5, "--every", 2, "--refit", "--set", "checkpoint_seconds=0"]
    assert cli(*words, "--no-baselines", "--out", "whole").code == 0
    stopped_at(("seed-0", 3), ("seed-0-refit", 1), ("seed-1", 4))
    codes = [cli(*words, "--no-baselines", "--out", "r").code]
    while codes[-1] == 130:
        answer = cli("run", "--resume", "r")
        codes.append(answer.code)
    assert codes == [130, 130, 130, 0], answer.err

    def told(name):
        metrics = json.loads((tmp_path / name / "metrics.json").read_text())
        return {key: value for key, value in metrics.items() if key not in ("seconds", "peak_memory_mb")}

    assert told("r") == told("whole")
    for name in ("users.npy", "items.npy", "model.safetensors", "metrics.jsonl", "config.yaml", "per_user.parquet"):
        assert (tmp_path / "r" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_what_needs_no_training_is_run_as_well(cli, tmp_path):
    answer = cli("run", "ease", "davis", "--set", "l2=3", "--no-baselines", "--out", "r")
    assert answer.code == 0, answer.err
    config = yaml.safe_load((tmp_path / "r" / "config.yaml").read_text())
    assert (config["model"], config["seeds"]) == ({"l2": 3.0}, [0])
    assert {"r/environment.json", "r/metrics.json", "r/per_user.parquet"} <= set(answer.paths)
    assert "r/loss.png" not in answer.paths


def test_the_set_without_a_download_is_the_default_of_a_recommender(cli):
    answer = cli("run", "lightgcn", "--print-config")
    assert answer.code == 0, answer.err
    config = yaml.safe_load(answer.out)
    assert config["dataset"] == "davis"
    assert list(config) == [
        "system",
        "dataset",
        "protocol",
        "every",
        "patience",
        "refit",
        "seeds",
        "baselines",
        "model",
        "training",
    ]


def test_a_loss_and_an_estimator_are_named_on_the_command_line(cli, tmp_path):
    words = ["--set", "batch_size=16", "--set", "negatives=meta-node", "--epochs", 1, "--no-baselines", "--out", "r"]
    answer = cli("run", "simgcl", "davis", *RANKED, *words)
    assert answer.code == 0, answer.err
    assert yaml.safe_load((tmp_path / "r" / "config.yaml").read_text())["model"]["negatives"] == "meta-node"


@pytest.mark.parametrize("system", ["grace", "pamc"])
def test_batches_are_asked_for_on_the_command_line(cli, system):
    answer = cli("run", system, "karate", "--batch-nodes", "12", "--print-config")
    assert "  batch_nodes: 12\n" in answer.out


def test_batches_of_nodes_are_for_graphs(cli):
    words = "batch_nodes is for clustering and node systems, and lightgcn draws batches of its own: leave it out"
    assert cli("run", "lightgcn", "davis", "--batch-nodes", "12").complaint == words
    few = cli("run", "grace", "karate", "--batch-nodes", "1").complaint
    assert few == "batch_nodes must be >= 2, the nodes of a step, or left out for the whole graph; got 1"


SMALL_SEQUENTIAL = (
    "--set", "dim=16", "--set", "layers=1", "--set", "dropout=0.1", "--set", "max_length=8", "--set", "batch_size=32",
    "--set", "lr=0.01", "--device", "cpu",
)  # fmt: skip


def test_a_sequential_system_on_a_folder_of_sequences_beats_popularity(cli, sequence_root, tmp_path):
    answer = cli(
        "run", "sasrec", "walks", "--data", sequence_root, *SMALL_SEQUENTIAL, "--epochs", 20, "--seeds", 2, "--out", "run"
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert "sasrec on recsys/walks" in answer.out
    assert "protocol lit-loo-s3" in " ".join(answer.out.split())
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    scores = {name: row["ndcg@10"]["mean"] for name, row in metrics["baselines"].items()}
    assert metrics["metrics"]["ndcg@10"]["mean"] > scores["popularity"] + 0.2
    assert scores["markov"] > scores["popularity"] + 0.2
    assert len(metrics["metrics"]["hr@5"]["values"]) == 2
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names >= {"loss.png", "results.md", "per_user.parquet", "sequences.npz", "metrics.jsonl", "config.yaml"}
    assert "hr@10" in metrics["metrics"]
    assert "mrr@20" in metrics["metrics"]


def test_markov_is_a_system_too_and_its_protocol_can_list_seen_items(cli, sequence_root, tmp_path):
    answer = cli("run", "markov", "walks", "--data", sequence_root, "--protocol", "lit-loo-recbole", "--out", "run")
    assert answer.code == 0, answer.err
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["protocol"]["id"] == "lit-loo-recbole"
    assert list(metrics["baselines"]) == ["popularity"]
    assert metrics["seeds"] == [0]


def test_the_order_of_updates_of_a_sequential_system_is_set_by_name(cli, sequence_root):
    answer = cli("run", "mclrec", "walks", "--data", sequence_root, "--set", "update=paper2", "--print-config")
    config = yaml.safe_load(answer.out)
    assert (config["model"]["update"], config["every"], config["dataset"]) == ("paper2", 5, "recsys/walks")
    assert (
        "mask_seen" not in yaml.safe_load(cli("run", "markov", "walks", "--data", sequence_root, "--print-config").out)["model"]
    )
    wrong = cli("run", "mclrec", "walks", "--data", sequence_root, "--set", "model.schedule=x").complaint
    assert wrong == "unknown key 'model.schedule'; did you mean training.schedule?"


def test_sequential_systems_say_what_they_need(cli, sequence_root):
    assert "no such set comes along: graphcl run sasrec NAME --data ROOT" in cli("run", "sasrec").complaint
    assert "expected events in order of time" in cli("run", "sasrec", "davis").complaint
    wrong = cli("run", "sasrec", "walks", "--data", sequence_root, "--protocol", "strict", "--epochs", 1)
    assert "to split by time, got none" in wrong.complaint
    assert "--k is for clustering systems" in cli("run", "sasrec", "walks", "--data", sequence_root, "--k", 3).complaint


def test_a_sequential_run_that_was_stopped_ends_with_the_same_bits(cli, sequence_root, tmp_path, stopped_at):
    words = [
        "run", "icsrec", "walks", "--data", sequence_root, *SMALL_SEQUENTIAL, "--set", "intents=5", "--seeds", 1, "--epochs", 3,
        "--every", 1, "--refit", "--no-baselines", "--set", "checkpoint_seconds=0",
    ]  # fmt: skip
    assert cli(*words, "--out", "whole").code == 0
    stopped_at(("seed-0", 2), ("seed-0-refit", 1))
    codes = [cli(*words, "--out", "r").code]
    while codes[-1] == 130:
        answer = cli("run", "--resume", "r", "--data", sequence_root)
        codes.append(answer.code)
    assert codes == [130, 130, 0], answer.err
    for name in ("users.npy", "items.npy", "sequences.npz", "model.safetensors", "metrics.jsonl", "per_user.parquet"):
        assert (tmp_path / "r" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
