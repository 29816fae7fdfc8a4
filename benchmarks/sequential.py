"""An epoch of sequential recommenders against the same models written plainly; ranking everybody.

    OMP_NUM_THREADS=1 python benchmarks/sequential.py [--data ROOT] [--systems sasrec mclrec] [--steps 3] [--rounds 3] [--quick]
    python benchmarks/sequential.py --parts ranking --data ROOT

The plain programs do what the public ones do: rows padded on the left to 50 places, attention with a mask added to all its
scores, GELU written out as in RecBole, logits of all items into ``cross_entropy`` (for ``sasrec`` at all 50 places of a row), a
pass for each view, ``2 B x 2 B`` similarities with boolean masks. MCLRec takes its three steps a batch, that of the augmenters
with a backward pass through the encoder; ICSRec encodes ``S_1`` twice and ``S_2`` once, and all prefixes before an epoch. Their
positions count from the start as ours do by default, so that both are one model; public ICSRec counts from the newest item,
which is ``positions="recency"`` here: the same steps, and 4.5 s of CPU before an epoch where we have 2.7. Masked items are
attended to on both sides.

Before anything is timed both get the same weights, rows, views, partners and centres, dropout left out, and must have the same
loss and the same gradient of every parameter, in each phase of a batch; ``sasrec`` also that of a row for each prefix of its
rows. Variants take turns in one process, ``--steps`` batches of the plain one and eight times as many of ours, and an epoch is
as many batches at that pace, beside what comes before it. Batches and views are drawn by ours for both: what the loops of
public samplers cost is not counted. Of the plain encodings before an epoch of ICSRec a twentieth is timed. Memory is the
highest resident size of a fresh process that trains a variant, with libraries and data (Linux only). ``ranking`` encodes
everybody's history, and lists 20 unseen items out of all. Beauty is read from ``--data`` or GRAPHCL_DATA; without either
random rows of its size take its place.

What was measured on Beauty (``d = 64``, 50 places, batches of 256; one thread of a server of two cores with three times as much
other work, torch 2.13; seconds of CPU an epoch, since by the clock they were two to three times as many; ratios are medians of
three pairs of turns, five for torch's GELU, by CPU and by the clock; GB with 0.7 of libraries and data):

                      ours   plain   CPU    clock    ours   plain   target
    sasrec              13     224   17.4x  17.1x    0.73    2.86   5x, under 1.5 GB
    sasrec-prefix       31     178    5.4x   5.3x    0.73    1.11   5x, under 1.5 GB
      GELU of torch     32     155    4.9x   4.4x    (4.4x and 4.2x another time): the target is MISSED by that
    mclrec             142    1375    9.5x   9.5x    0.78    1.70   4x, under 1.5 GB
    icsrec              63     507    8.2x   7.9x    1.08    1.74   4x, under 1.5 GB
    ranking everybody  2.0 s (3.0 s by the clock), 1.1 GB           5 s

Both SASRecs learn from the same targets by different steps: an epoch of ``sasrec`` has 88 of them, with a target at every place
of 256 users, one of ``sasrec-prefix`` 514. More than a third of such a step of ours are the three products of 256 states with
the catalogue and a tenth is Adam, as a profiler has it; the plain program pays for both as well. The targets are those of
Beauty: ``--quick`` shows that all runs, and its ratios mean little.

A run of hours takes more than these few steps: no two have arrays of the same sizes, and the heap grows around its holes. One
of ICSRec on Beauty stood at 3.3 GB after forty epochs, where 0.8 were in use: trimmed every 20 s, the heap had 3.1 GB of
addresses to wander through, and touched them all within ten. With arrays of 4 MB and more kept out of it (`training.heap`)
six epochs peak at 1.6 GB, those of MCLRec on Sports too (2.0 before), the heap at 0.9 and 0.2, for the same time a step
(medians of 90 steps 113 and 109 ms of CPU, of MCLRec 94 and 101, without it the second). From 2 MB on costs no more and gains
nothing; from 1 MB on takes 45 % more time to save another 0.1 GB in 120 steps.
"""

from __future__ import annotations

import argparse
import copy
import math
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphcl.recsys.data import IdMap
from graphcl.recsys.ranking import top_k
from graphcl.recsys.sequences import Jagged, Sequences, load_sequences
from graphcl.recsys.systems.sequential import SASRec
from graphcl.recsys.systems.sequential.icsrec import ICSRec
from graphcl.recsys.systems.sequential.intents import k_means
from graphcl.recsys.systems.sequential.mclrec import MCLRec

TARGETS = {"sasrec": 5.0, "sasrec-prefix": 5.0, "mclrec": 4.0, "icsrec": 4.0}
MEMORY_GB, RANKING_SECONDS = 1.5, 5.0
BEAUTY = (22_363, 12_101, 7)
NEVER = -10_000.0  # added to the scores of what may not be looked at


class Plain(nn.Module):
    """The weights of a system of ours; rows padded on the left to ``M``, attention written out, logits of all items."""

    def __init__(self, system: Any) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(system.encoder)
        self.system = [system]  # in a list: its settings are asked for, its parameters are not ours
        self.drop = nn.Dropout(system.encoder.dropout.p)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """What moves in each phase; a system of one phase has ``"both"``."""
        return {"both": torch.optim.Adam(self.parameters(), lr=1e-3)}

    def encode(self, history: Jagged) -> Tensor:
        """The states of all ``M`` places of each row, ``(B, M, D)``."""
        model, most = self.encoder, self.encoder.max_length
        ids = padded(history, most, model.pad_id)
        first = most - history.lengths[:, None]
        column = torch.arange(most)
        real = column >= first
        hidden: Tensor = model.look_up(ids) + F.embedding((column - first).clamp(min=0), model.position_table)
        hidden = self.drop(model.outer_norm(hidden))
        bias = torch.where(torch.ones(most, most, dtype=torch.bool).tril() & real[:, None], 0.0, NEVER)[:, None]
        for block in model.blocks:
            query, key, value = (
                part.view(*hidden.shape[:2], block.heads, -1).transpose(1, 2)
                for part in (block.query(hidden), *block.key_value(hidden).chunk(2, -1))
            )
            scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]) + bias
            found = (self.drop(torch.softmax(scores, -1)) @ value).transpose(1, 2).reshape(hidden.shape)
            hidden = block.first_norm(hidden + self.drop(block.mix(found)))
            hidden = block.second_norm(hidden + self.drop(block.down(gelu(block.up(hidden)))))
        return hidden

    def last(self, history: Jagged) -> Tensor:
        """The states of the newest items."""
        return self.encode(history)[:, -1]

    def recommendation(self, states: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of all logits; a negative target does not count."""
        return F.cross_entropy(states @ self.encoder.items().T, target, ignore_index=-1)


class PlainPrefixes(Plain):
    """SASRec with a row for each prefix."""

    def training_step(self, batch: Any) -> dict[str, Tensor]:
        """The loss."""
        return {"loss": self.recommendation(self.last(batch.history), batch.target)}


class PlainShifted(Plain):
    """SASRec with a target at every place, those of the padding left out by the loss."""

    def training_step(self, batch: Any) -> dict[str, Tensor]:
        """The loss."""
        states = self.encode(batch.history)
        target = padded(batch.history._replace(values=batch.target), states.shape[1], -1)
        return {"loss": self.recommendation(states.flatten(0, 1), target.flatten())}


class PlainMCLRec(Plain):
    """The batch and both views one after another; the augmenters' step goes back through the encoder for nothing."""

    def __init__(self, system: Any) -> None:
        super().__init__(system)
        self.augmenters = copy.deepcopy(system.augmenters)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """One for each side."""
        sides = {"encoder": self.encoder, "augmenters": self.augmenters}
        return {phase: torch.optim.Adam(side.parameters(), lr=1e-3) for phase, side in sides.items()}

    def training_step(self, batch: Any) -> dict[str, Tensor]:
        """The loss of a phase."""
        system = self.system[0]
        self.augmenters.requires_grad_(batch.phase == "augmenters")
        states = self.last(batch.batch.history) if batch.phase == "encoder" else None
        first, second = (self.last(view) for view in batch.views)
        z_first, z_second = self.augmenters[0](first), self.augmenters[1](second)
        pairs = [logits_of(*pair) for pair in ((z_first, z_second), (first, z_second), (second, z_first))]
        augmented = sum(contrast(*pair) for pair in pairs) + system.margin * sum(too_easy(*pair) for pair in pairs)
        if states is None:
            return {"loss": augmented}
        loss = self.recommendation(states, batch.batch.target) + system.weight * contrast(*logits_of(first, second))
        return {"loss": loss + system.augmented * augmented}


class PlainICSRec(Plain):
    """Three encodings one after another, blocks of similarities with what shares an intent struck out."""

    def training_step(self, batch: Any) -> dict[str, Tensor]:
        """The loss."""
        system = self.system[0]
        loss = self.recommendation(self.last(batch.history), batch.target)
        first = self.last(batch.history)
        second = self.last(system.rows.history(system.partner(batch.rows)))
        loss = loss + system.coarse * struck_contrast(first, second, batch.target)
        for states in (first, second):
            centres = system.intents.centres
            own = torch.cdist(states.detach(), centres).argmin(1)
            loss = loss + system.fine * struck_contrast(states, F.normalize(centres, dim=1)[own], own)
        return {"loss": loss}


def gelu(values: Tensor) -> Tensor:
    """As the public blocks write it out."""
    return values * 0.5 * (1.0 + torch.erf(values / math.sqrt(2.0)))


def padded(history: Jagged, width: int, fill: int) -> Tensor:
    """The rows, their ends aligned."""
    out = torch.full((history.num_rows, width), fill)
    out[history.rows, width - history.lengths[history.rows] + history.positions] = history.values
    return out


def logits_of(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """The similarity of each row of two views with its other view, ``(2 B, 1)``, and with the rest, ``(2 B, 2 B - 2)``."""
    rows, number = torch.cat([first, second]), len(first)
    similarity = rows @ rows.T
    positive = torch.cat([similarity.diag(number), similarity.diag(-number)])[:, None]
    rest = torch.ones(2 * number, 2 * number, dtype=torch.bool).fill_diagonal_(False)
    index = torch.arange(number)
    rest[index, number + index] = rest[number + index, index] = False
    return positive, similarity[rest].view(2 * number, -1)


def contrast(positive: Tensor, negatives: Tensor) -> Tensor:
    """NT-Xent."""
    return F.cross_entropy(torch.cat([positive, negatives], 1), torch.zeros(len(positive), dtype=torch.int64))


def too_easy(positive: Tensor, negatives: Tensor) -> Tensor:
    """The penalty of MCLRec, by rows."""
    hardest = negatives.amax(1, keepdim=True)
    low, high = torch.minimum(positive, hardest), torch.maximum(positive, hardest)
    return F.relu(positive - low).mean() + F.relu(high - negatives).mean()


def struck_contrast(first: Tensor, second: Tensor, ids: Tensor) -> Tensor:
    """NT-Xent in which rows of one id are no negatives of each other."""
    number = len(first)
    same = ids[:, None] == ids
    across, own, other = first @ second.T, first @ first.T, second @ second.T
    positive = across.diag()
    across = across.masked_fill(same, -torch.inf).diagonal_scatter(positive)
    own, other = own.masked_fill(same, -torch.inf), other.masked_fill(same, -torch.inf)
    logits = torch.cat([torch.cat([across, own], 1), torch.cat([other, across.T], 1)])
    return F.cross_entropy(logits, torch.arange(2 * number))


OURS: dict[str, Any] = {"sasrec": SASRec, "mclrec": MCLRec, "icsrec": ICSRec}
PLAIN: dict[str, type[Plain]] = {
    "sasrec": PlainShifted,
    "sasrec-prefix": PlainPrefixes,
    "mclrec": PlainMCLRec,
    "icsrec": PlainICSRec,
}


class Seconds(NamedTuple):
    """What a clock on the wall says, and what this process was given."""

    wall: float
    own: float

    @classmethod
    def of(cls, function: Callable[..., Any], *arguments: Any) -> Seconds:
        """Of a call."""
        wall, own = time.perf_counter(), time.process_time()
        function(*arguments)
        return cls(time.perf_counter() - wall, time.process_time() - own)


@dataclass(frozen=True)
class Case:
    """A system on Beauty, or on random rows."""

    name: str
    root: str | None
    sizes: tuple[int, int, int]
    batch_size: int = 256

    def sequences(self) -> Sequences:
        """Training rows."""
        if self.root is not None:
            return load_sequences("beauty", self.root).train
        users, items, mean = self.sizes
        rng = np.random.default_rng(0)
        lengths = 3 + np.minimum(rng.geometric(1 / (mean - 2), size=users) - 1, 60)
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        values = (items * rng.random(int(indptr[-1])) ** 2).astype(np.int32)
        return Sequences(IdMap.count(users, "user"), IdMap.count(items, "item"), values, indptr)

    def system(self, sequences: Sequences, **settings: Any) -> Any:
        """Ours, with its published defaults and weights of seed 0."""
        torch.manual_seed(0)
        name, _, style = self.name.partition("-")
        return OURS[name](sequences, batch_size=self.batch_size, **settings, **({"style": style} if style else {}))

    def batch_phases(self, system: Any) -> int:
        """Steps that one batch takes."""
        return len(system.phases) if self.name == "mclrec" else 1


def check_equal(case: Case, sequences: Sequences) -> None:
    """Stops unless both give one loss and one set of gradients in each phase of a batch, without dropout."""
    system = case.system(sequences, dropout=0.0)
    if case.name == "icsrec":
        system.on_epoch_start(0, None)
    plain = PLAIN[case.name](system)
    batches = system.source().batches(0)
    for _ in range(case.batch_phases(system)):
        batch = next(batches)
        compare(case.name, [(system, batch), (plain, batch)], getattr(batch, "phase", "both"))
    if case.name == "sasrec":  # one pass over users has the terms of a row for each of their prefixes
        batch = next(system.source().batches(0))
        compare("sasrec by prefix", [(system, batch), (PlainPrefixes(system), prefixes(batch))], "both")


def prefixes(batch: Any) -> Any:
    """A row for each place of a shifted batch."""
    history = batch.history
    lengths = history.positions + 1
    return batch._replace(history=history.spans(history.indptr[history.rows], lengths))


def compare(name: str, sides: list[tuple[Any, Any]], phase: str) -> None:
    """Stops unless a step of ours and one of the other have one loss and the same gradients where this phase moves."""
    found: list[dict[str, Tensor]] = []
    for model, batch in sides:
        model.zero_grad(set_to_none=True)
        torch.manual_seed(0)  # of the partners that ICSRec draws
        loss = model.training_step(batch)["loss"]
        torch.autograd.backward(loss)
        moved = {key: value.grad for key, value in model.named_parameters() if phase == "both" or key.startswith(phase)}
        found.append({"loss": loss.detach(), **{key: grad for key, grad in moved.items() if grad is not None}})
    mine, theirs = found
    scale = max(float(grad.norm()) for key, grad in theirs.items() if key != "loss")
    for key in mine.keys() | theirs.keys():
        if key not in mine or key not in theirs:
            raise SystemExit(f"{name}, {phase}: only one side has a gradient of {key}; no times are given for unequal models")
        # The bias of a key moves all scores of a query alike: its gradient is zero but for rounding.
        error = float((mine[key] - theirs[key]).norm()) / max(float(theirs[key].norm()), 1e-3 * scale)
        if not error < 1e-3:
            raise SystemExit(f"{name}, {phase}: {key} off by {error:.1e} (relative); no times are given for unequal models")


def stepper(case: Case, sequences: Sequences, variant: str) -> Callable[[int], None]:
    """Some batches of a variant, each with all its phases."""
    system = case.system(sequences)
    if case.name == "icsrec":
        system.intents.centres.normal_()
    model: Any = system if variant == "ours" else PLAIN[case.name](system)
    model.train()
    optimizers = {"both": torch.optim.Adam(model.parameters(), lr=1e-3)} if variant == "ours" else model.optimizers()
    phases = case.batch_phases(system)
    batches = chain.from_iterable(map(system.source().batches, count()))  # the order of an epoch is drawn once, not every turn

    def run(number: int) -> None:
        for batch in islice(batches, number * phases):
            optimizer = optimizers.get(getattr(batch, "phase", "both"), optimizers.get("both"))
            assert optimizer is not None
            model.zero_grad(set_to_none=True)
            torch.autograd.backward(model.training_step(batch)["loss"])
            optimizer.step()

    return run


def before_epoch(case: Case, sequences: Sequences, variant: str, share: float) -> Seconds:
    """What ICSRec does before the steps; of the plain encodings a share is timed, k-means is the same."""
    if case.name != "icsrec":
        return Seconds(0.0, 0.0)
    system = case.system(sequences)
    if variant == "ours":
        return Seconds.of(system.on_epoch_start, 0, None)
    plain = PLAIN[case.name](system).eval()
    parts = torch.split(torch.randperm(system.rows.num_rows), system.batch_size)
    chosen = parts[: max(1, round(share * len(parts)))]
    found: list[Tensor] = []

    def encode() -> None:
        with torch.no_grad():
            found.extend(plain.last(system.rows.history(part)) for part in chosen)

    encoded = Seconds.of(encode)
    states = torch.cat(found * (-(-len(parts) // len(chosen))))[: system.rows.num_rows]
    clustered = Seconds.of(lambda: k_means(states, system.intents.count, seed=0))
    scale = len(parts) / len(chosen)
    return Seconds(encoded.wall * scale + clustered.wall, encoded.own * scale + clustered.own)


def peak(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a process of its own."""
    # Not a Pool, which would start workers for ever where one cannot import what it needs.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _training_peak(case: Case, variant: str) -> tuple[float, float]:
    sequences = case.sequences()
    small = Case(case.name, None, (40, 60, 7), 8)
    stepper(small, small.sequences(), variant)(1)  # threads and libraries are up
    before = _reset_high_water()
    if variant == "ours":
        before_epoch(case, sequences, variant, 1.0)
    stepper(case, sequences, variant)(2)
    return _high_water(), before


def _ranking(case: Case) -> tuple[Seconds, float]:
    if case.root is not None:
        split = load_sequences("beauty", case.root)
        train, histories = split.train, split.histories("test")
    else:
        train = histories = case.sequences()
    system, seen = case.system(train), histories.interactions()
    system.encode(histories.jagged().take(torch.arange(100)))
    _reset_high_water()
    return Seconds.of(lambda: top_k(system.scorer(histories), np.arange(train.num_users), 20, seen=seen)), _high_water()


def _reset_high_water() -> float:
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again from here
    return _high_water()


def _high_water() -> float:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 / 1e9 for line in status.splitlines() if line.startswith("VmHWM"))


def run_epochs(case: Case, rounds: int, steps: int) -> None:
    """Checks, times in turns, and says what came out."""
    sequences = case.sequences()
    check_equal(case, sequences)
    system = case.system(sequences)
    number = len(system.source()) // case.batch_phases(system)
    steppers = {variant: stepper(case, sequences, variant) for variant in ("ours", "plain")}
    first = {variant: before_epoch(case, sequences, variant, 0.05) for variant in steppers}
    taken: dict[str, list[Seconds]] = {variant: [] for variant in steppers}
    for step in steppers.values():
        step(1)
    for _ in range(rounds):
        for variant, step in steppers.items():
            # A batch of ours takes a tenth of the other's time: more of them, so that both turns are long enough to measure.
            batches = min(steps * 8 if variant == "ours" else steps, number)
            turn = Seconds.of(step, batches)
            scale = number / batches
            before = first[variant]
            taken[variant].append(Seconds(turn.wall * scale + before.wall, turn.own * scale + before.own))
    del steppers
    memory = {variant: peak(_training_peak, case, variant) for variant in taken}
    print(f"\n{case.name}: {sequences}; batch {system.batch_size}, {number} batches an epoch, median of {rounds} turns")
    for variant, turns in taken.items():
        wall, own = (statistics.median(times) for times in zip(*turns, strict=True))
        (high, low), before = memory[variant], first[variant]
        print(
            f"{variant:6s} {wall:8.1f} s an epoch, {own:8.1f} s of CPU ({before.own:.1f} before its steps); "
            f"peak {high:.2f} GB, {high - low:.2f} of it training"
        )
    wall, own = (
        statistics.median(getattr(theirs, clock) / getattr(mine, clock) for mine, theirs in zip(*taken.values(), strict=True))
        for clock in Seconds._fields
    )
    reached = "reached" if own >= TARGETS[case.name] and memory["ours"][0] < MEMORY_GB else "MISSED"
    print(f"plain / ours: {wall:.1f}x time, {own:.1f}x CPU; {TARGETS[case.name]:g}x and under {MEMORY_GB:g} GB: {reached}")


def run_ranking(case: Case) -> None:
    """Says how long encoding and ranking everybody takes."""
    seconds, memory = peak(_ranking, case)
    reached = "reached" if min(seconds) < RANKING_SECONDS else "MISSED"
    print(f"\nranking: 20 items for everybody: {seconds.wall:.1f} s, {seconds.own:.1f} s of CPU, peak {memory:.2f} GB")
    print(f"target: under {RANKING_SECONDS:g} s: {reached}")


def main() -> None:
    """Reads the arguments and runs the parts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", default=os.environ.get("GRAPHCL_DATA"), help="the data root")
    parser.add_argument("--parts", nargs="*", choices=["epochs", "ranking"], default=["epochs", "ranking"])
    parser.add_argument("--systems", nargs="*", choices=list(PLAIN), default=list(PLAIN))
    parser.add_argument(
        "--steps", type=int, default=3, help="batches of the plain variant in a round; ours has eight times as many"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round on random rows of 300 users")
    options = parser.parse_args()
    sizes, batch_size = BEAUTY, 256
    if options.quick:
        options.data, options.rounds, options.steps = None, 1, 1
        sizes, batch_size = (300, 400, 7), 32
    print(f"torch {torch.__version__}, fp32, {torch.get_num_threads()} threads")
    if "epochs" in options.parts:
        for name in options.systems:
            run_epochs(Case(name, options.data, sizes, batch_size), options.rounds, options.steps)
    if "ranking" in options.parts:
        run_ranking(Case("sasrec", options.data, sizes))


if __name__ == "__main__":
    main()
