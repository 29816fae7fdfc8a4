"""``graphcl run``: trains a system on a data set and evaluates it by the data set's protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graphcl.cli.listing import interaction_entries
from graphcl.cli.options import (
    Baselines,
    BatchNodes,
    Clusters,
    Data,
    Device,
    Epochs,
    Every,
    Out,
    Patience,
    PrintConfig,
    Protocol,
    Refit,
    Resume,
    Seeds,
    Selection,
    Settings,
    Splits,
)
from graphcl.errors import InputError

DEFAULT = {"recommendation": "davis"}  # the set that needs no download, where it is not digits
NONE_EMBEDDED = "sequential"  # the task without such a set


def run(
    system: Annotated[str | None, typer.Argument(help="A system; see: graphcl list systems", show_default="pamc")] = None,
    dataset: Annotated[
        str | None,
        typer.Argument(
            help="A data set, or domain/name; see: graphcl list datasets", show_default="digits, or davis for recommendation"
        ),
    ] = None,
    settings: Settings = None,
    seeds: Seeds = None,
    epochs: Epochs = None,
    protocol: Protocol = None,
    splits: Splits = None,
    k: Clusters = None,
    selection: Selection = None,
    every: Every = None,
    patience: Patience = None,
    refit: Refit = None,
    baselines: Baselines = None,
    batch_nodes: BatchNodes = None,
    device: Device = None,
    out: Out = None,
    data: Data = None,
    resume: Resume = None,
    print_config: PrintConfig = False,
) -> None:
    """Train and evaluate a system: by classes (clustering), a linear probe (node), full ranking (recommendation, sequential).

    With no argument: PamC on the handwritten digits, which need no download.

    Settings come from the recipe, where there is one (graphcl list recipes), then from --set and the options.
    """
    wishes = {
        "n_clusters": k, "selection": selection, "protocol": protocol, "splits": splits, "every": every,
        "patience": patience, "refit": refit,
    }  # fmt: skip
    if resume is not None:
        decided = (
            *wishes.values(), system, dataset, settings, seeds, baselines, batch_nodes, device, out,
            print_config or None,
        )  # fmt: skip
        if any(value is not None and value != [] for value in decided):
            raise InputError(
                "--resume DIR goes on with the run as it was started: only --data ROOT and more --epochs may stand beside it"
            )
        _go_on(resume, data, epochs)
        return
    system = system or "pamc"
    from graphcl import datasets
    from graphcl.models import SYSTEMS, find_system
    from graphcl.recsys.methods import ANCHORS

    if system not in {**SYSTEMS, **ANCHORS}:
        for kind, entries in (("pamc", datasets.names(data)), ("lightgcn", interaction_entries(data))):
            if any(system == entry.name for entry in entries):
                raise InputError(f"'{system}' is a data set, and the system comes first; try: graphcl run {kind} {system}")
    entry = ANCHORS.get(system) or find_system(system)  # before torch is loaded: a typo is answered at once

    from graphcl.cli.show import show_run
    from graphcl.tasks import check_wishes, resolve
    from graphcl.tasks.task_data import data_name, load_data

    check_wishes(entry, wishes)
    if dataset is None and entry.task == NONE_EMBEDDED:
        raise InputError(f"{system} takes events in order, and no such set comes along: graphcl run {system} NAME --data ROOT")
    loaded = load_data(entry.task, dataset or DEFAULT.get(entry.task, "digits"), data)
    config = resolve(
        system,
        data_name(loaded),
        n_clusters=k,
        seeds=seeds,
        selection=selection,
        protocol=protocol,
        splits=splits,
        every=every,
        patience=patience,
        refit=refit,
        baselines=baselines,
        settings=settings or (),
        training={"epochs": epochs, "device": device, "batch_nodes": batch_nodes},
    )
    show_run(config, loaded, out=out, only_config=print_config)


def _go_on(path: Path, root: Path | None, epochs: int | None) -> None:
    from graphcl.training import RunFolder

    if epochs is None and RunFolder.finished(path):
        typer.echo(f"the run in {path} is finished: nothing is left to do")
        return
    folder = RunFolder.reopen(path, finished=epochs is not None)

    from graphcl.cli.show import show_run
    from graphcl.tasks import read_config
    from graphcl.tasks.run_config import find_entry
    from graphcl.tasks.task_data import load_data

    config = read_config(path / "config.yaml")
    if epochs is not None:
        config = config.longer(epochs)
    data = load_data(find_entry(config.system).task, config.dataset, root)
    show_run(config, data, reopened=folder)
