from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from graphcl.cli import main


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Graphs of forty nodes are not worth waking a second thread for, least of all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Answer:
    """What a command left: exit code, both streams, and every path below the folder it ran in."""

    code: int
    out: str
    err: str
    paths: list[str]

    @property
    def complaint(self) -> str:
        """The only line on standard error, for an answer of exit code 2 that left nothing behind."""
        assert self.code == 2, self.err
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("error: ")
        assert "Traceback" not in self.err
        assert self.out == ""
        return self.err.removeprefix("error: ").rstrip("\n")


def _below(folder: Path) -> list[str]:
    # The cache folder is matplotlib's as well, which fills it the first time a font is asked for.
    paths = [path.relative_to(folder) for path in folder.rglob("*")]
    return sorted(str(path) for path in paths if path.parts[0] != "nowhere")


@pytest.fixture
def cli(capsys, monkeypatch, tmp_path) -> Callable[..., Answer]:
    """Runs the command line in this process, in an empty folder, with no data root but an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GRAPHCL_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # put back afterwards: the command line has its own
    capsys.readouterr()

    def run(*arguments: object) -> Answer:
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Answer(int(left.value.code or 0), captured.out, captured.err, _below(tmp_path))

    return run


@pytest.fixture(scope="session")
def shell(tmp_path_factory) -> Callable[..., Answer]:
    """Runs ``python -m graphcl`` in a process of its own, in a fresh folder or one that is given."""

    def run(*arguments: object, cwd: Path | None = None, script: str | None = None) -> Answer:
        where = tmp_path_factory.mktemp("shell") if cwd is None else cwd
        start = ["-m", "graphcl"] if script is None else ["-c", script]
        environment = {key: value for key, value in os.environ.items() if key != "GRAPHCL_DATA"}
        done = subprocess.run(
            [sys.executable, *start, *map(str, arguments)],
            capture_output=True, text=True, check=False, cwd=where, timeout=300,
            env={**environment, "XDG_CACHE_HOME": str(where / "nowhere"), "COLUMNS": "100"},
        )  # fmt: skip
        return Answer(done.returncode, done.stdout, done.stderr, _below(where))

    return run


@pytest.fixture(scope="session")
def communities() -> dict[str, list[tuple[str, ...]]]:
    """Two planted communities of ten, as rows of text: nodes ``id, warm, tall, kind`` and edges ``source, target``."""
    rng = np.random.default_rng(0)
    ids = [f"{number:03d}" for number in (*range(7, 17), *range(90, 100))]
    side = np.arange(20) // 10
    x = rng.normal(size=(20, 2)) + np.array([[3, 0], [0, 3]])[side]
    nodes = [(name, f"{a:.3f}", f"{b:.3f}", "LR"[s]) for name, (a, b), s in zip(ids, x, side, strict=True)]
    chance = np.where(side[:, None] == side, 0.5, 0.02)
    edges = [(ids[i], ids[j]) for i, j in zip(*np.nonzero(np.triu(rng.random((20, 20)) < chance, 1)), strict=True)]
    return {"nodes": nodes, "edges": edges}


@pytest.fixture
def tables(communities, tmp_path) -> Callable[..., tuple[Path, Path]]:
    """Writes the communities as CSV; gives the paths of edges and nodes."""

    def write(*, label: bool = False, folder: Path = tmp_path) -> tuple[Path, Path]:
        width = 4 if label else 3
        rows = [("id", "warm", "tall", "label")[:width], *(row[:width] for row in communities["nodes"])]
        edges, nodes = folder / "edges.csv", folder / "nodes.csv"
        nodes.write_text("".join(",".join(row) + "\n" for row in rows), encoding="utf-8")
        edges.write_text(
            "".join(",".join(row) + "\n" for row in [("source", "target"), *communities["edges"]]), encoding="utf-8"
        )
        return edges, nodes

    return write


@pytest.fixture(scope="session")
def walks() -> list[list[int]]:
    """Histories of sixty users who mostly go on from an item to the next of twenty; items from 1, all equally popular."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(60):
        row = [int(rng.integers(20))]
        for _ in range(int(rng.integers(5, 10))):
            row.append((row[-1] + 1) % 20 if rng.random() < 0.9 else int(rng.integers(20)))
        rows.append([item + 1 for item in row])
    return rows


@pytest.fixture
def sequence_root(walks, tmp_path) -> Path:
    """A data root with these histories as the set ``walks``."""
    folder = tmp_path / "data" / "recsys" / "walks" / "raw"
    folder.mkdir(parents=True)
    lines = [" ".join(map(str, [user, *row])) for user, row in enumerate(walks, 1)]
    (folder / "walks.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "data"


@pytest.fixture
def stopped_at(monkeypatch) -> Callable[..., None]:
    """Has runs end as by Ctrl-C right after these epochs of these trainings, one place after the other."""

    def stop(*places: tuple[str, int]) -> None:
        from graphcl.training import Checkpoint

        plain, left = Checkpoint.after_epoch, list(places)

        def dies(self, system, state, observers):
            plain(self, system, state, observers)
            if left and (self.name, state.epoch) == left[0]:
                left.pop(0)
                raise KeyboardInterrupt

        monkeypatch.setattr(Checkpoint, "after_epoch", dies)

    return stop
