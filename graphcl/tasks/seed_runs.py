"""The training runs of one run folder, one a seed: what is written while they go on, and how they are taken up again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from graphcl.datasets.provenance import Provenance
from graphcl.errors import InputError
from graphcl.kernels.ranks import Ranks
from graphcl.training import Checkpoint, Observer, RunFolder, TensorBoardLog, TrainingConfig, environment
from graphcl.training.run_folder import CHECKPOINTS


@dataclass(frozen=True)
class Watch:
    """What a seed's training is given: observers, and the checkpoint if the run can be taken up again."""

    observers: Sequence[Observer]
    checkpoint: Checkpoint | None


class SeedRuns:
    """Opens the run folder with the first epoch, logs every epoch, and keeps every seed's state.

    Each seed is trained inside ``with runs.watch(seed) as watch``, whose observers and checkpoint go to the `Trainer`. In a
    folder that was reopened the same code goes on where it was: a finished seed comes back from its last state without
    training, the one that was cut short from its checkpoint, and ``metrics.jsonl`` is cut back to what they hold. With
    ``grows``, seeds that came to their last epoch go on too where there are more now, as if there had been from the start.

    Of several ranks that train together the first one does all of this; the others read checkpoints and write nothing.

    Args:
        folder: Where to write.
        config: The resolved configuration, as plain values: what ``config.yaml`` will hold.
        training: Its settings of the loop.
        seeds: All of them, in the order of training.
        provenance: Of the data; another checksum refuses to go on.
        resumable: Whether checkpoints are written.
        grows: Whether the run may go on with more epochs than it was started with.
        say: Told what is being done, line by line.
        ranks: That train together; a run goes on with as many as it was started with. One process when ``None``.

    Raises:
        InputError: The folder was reopened with other data, or TensorBoard is asked for and missing.
    """

    def __init__(
        self,
        folder: RunFolder,
        config: Mapping[str, Any],
        training: TrainingConfig,
        seeds: Sequence[int],
        provenance: Provenance | None,
        *,
        resumable: bool = True,
        grows: bool = False,
        say: Callable[[str], None] = lambda line: None,
        ranks: Ranks | None = None,
    ) -> None:
        self.ranks, self.writes = ranks, ranks is None or ranks.first
        self.folder, self.config, self.training, self.seeds = folder, dict(config), training, tuple(seeds)
        self.provenance, self.resumable, self.say = provenance, resumable, say
        self.rows: list[dict[str, Any]] = []
        self.earlier_seconds = 0.0
        fixed = self.config
        if grows:
            fixed = {**fixed, "training": {key: value for key, value in fixed["training"].items() if key != "epochs"}}
        self.identity = {
            "configuration": hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest(),
            "data": "unknown" if provenance is None else provenance.sha256,
            "device": training.torch_device().type,
            "number of ranks": str(1 if ranks is None else ranks.size),
        }
        if folder.reopened:
            self._check_data()

    @contextmanager
    def watch(self, seed: int) -> Iterator[Watch]:
        """What watches the training of a seed while the block lasts."""
        checkpoint = None
        if self.resumable:
            seconds = self.training.checkpoint_seconds
            checkpoint = Checkpoint(
                self.folder, f"seed-{seed}", seconds=seconds, identity=self.identity, say=self.say, ranks=self.ranks
            )
        path = self.folder.path / "tensorboard" / f"seed-{seed}"
        with TensorBoardLog(path) if self.training.tensorboard and self.writes else nullcontext() as board:
            yield Watch([_Log(self, seed), *([board] if board else [])] if self.writes else [], checkpoint)
        self.earlier_seconds += checkpoint.began_at if checkpoint else 0.0

    def open(self) -> None:
        """Writes what decided the run, once something is to be kept of it."""
        if not self.writes or not self.folder.make():
            return
        if self.resumable:
            (self.folder.path / CHECKPOINTS).mkdir(exist_ok=True)
        source = self.provenance
        data = None if source is None else {"name": source.name, "sha256": source.sha256, "counts": dict(source.counts)}
        self.folder.write_json(
            "environment.json",
            {
                **environment(self.training.torch_device()),
                "ranks": 1 if self.ranks is None else self.ranks.size,
                "seeds": list(self.seeds),
                "data": data,
            },
        )
        self.folder.write_yaml("config.yaml", self.config)  # last: with it, the run can go on

    def _check_data(self) -> None:
        path = self.folder.path / "environment.json"
        try:
            before = (json.loads(path.read_text())["data"] or {}).get("sha256")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} is missing or damaged: the run cannot go on; start it again with --out") from error
        now = None if self.provenance is None else self.provenance.sha256
        if before != now:
            raise InputError(
                f"the run in {self.folder.path} was started on data with checksum {str(before)[:12]}, and this has "
                f"{str(now)[:12]}: bring back the former data, or start anew with --out"
            )


class _Log:
    """Writes a line per epoch into ``metrics.jsonl``."""

    def __init__(self, runs: SeedRuns, seed: int) -> None:
        self.runs, self.seed = runs, seed

    def on_fit_start(self, history: Sequence[Mapping[str, float]]) -> None:
        """Says what is trained on, now that nothing was found wrong with it; cuts the log back to what is kept."""
        runs = self.runs
        if runs.provenance is not None and self.seed == runs.seeds[0]:
            runs.say(runs.provenance.summary())
        runs.rows += [{"seed": self.seed, **row} for row in history]
        if runs.folder.reopened:
            if self.seed == runs.seeds[0]:  # only now: what was wrong with data or checkpoints has been said
                runs.folder.take_up(runs.config)
            runs.folder.write_lines("metrics.jsonl", runs.rows)

    def on_epoch_end(self, epoch: int, terms: dict[str, float]) -> None:
        """Adds a line."""
        self.runs.open()
        row = {"seed": self.seed, "epoch": epoch, **terms}
        self.runs.rows.append(row)
        self.runs.folder.append("metrics.jsonl", row)
