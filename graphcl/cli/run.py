"""``graphcl run``: trains a system on a data set and evaluates it by the data set's protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graphcl.cli.options import (
    Baselines,
    Clusters,
    Data,
    Device,
    Epochs,
    Out,
    PrintConfig,
    Protocol,
    Resume,
    Seeds,
    Selection,
    Settings,
    Splits,
)
from graphcl.errors import InputError

# Where two domains have a set of one name, whose it is by the task; elsewhere the error lists both.
PREFERRED = {"clustering": "clustering", "node": "citation"}


def run(
    system: Annotated[str | None, typer.Argument(help="A system; see: graphcl list systems", show_default="pamc")] = None,
    dataset: Annotated[
        str | None, typer.Argument(help="A data set, or domain/name; see: graphcl list datasets", show_default="digits")
    ] = None,
    settings: Settings = None,
    seeds: Seeds = None,
    epochs: Epochs = None,
    protocol: Protocol = None,
    splits: Splits = None,
    k: Clusters = None,
    selection: Selection = None,
    baselines: Baselines = None,
    device: Device = None,
    out: Out = None,
    data: Data = None,
    resume: Resume = None,
    print_config: PrintConfig = False,
) -> None:
    """Train and evaluate a system: a clustering system against the classes, a node system by a linear probe.

    With no argument: PamC on the handwritten digits, which need no download.

    Settings come from the recipe, where there is one (graphcl list recipes), then from --set and the options.
    """
    wishes = {"n_clusters": k, "selection": selection, "protocol": protocol, "splits": splits}
    if resume is not None:
        decided = (
            *wishes.values(), system, dataset, settings, seeds, epochs, baselines, device, out, print_config or None,
        )  # fmt: skip
        if any(value is not None and value != [] for value in decided):
            raise InputError("--resume DIR goes on with the run as it was started: only --data ROOT may stand beside it")
        _go_on(resume, data)
        return
    system, dataset = system or "pamc", dataset or "digits"
    from graphcl import datasets
    from graphcl.models import SYSTEMS, find_system

    if system not in SYSTEMS and any(system == entry.name for entry in datasets.names(data)):
        raise InputError(f"'{system}' is a data set, and the system comes first; try: graphcl run pamc {system}")
    entry = find_system(system)  # before torch is loaded: a typo is answered at once

    from graphcl.cli.show import show_run
    from graphcl.tasks import check_wishes, resolve

    check_wishes(entry, wishes)
    graph = datasets.load(dataset, data, prefer=PREFERRED[entry.task])
    provenance = graph.provenance
    name = provenance.name if provenance.domain == "embedded" else f"{provenance.domain}/{provenance.name}"
    config = resolve(
        system,
        name,
        n_clusters=k,
        seeds=seeds,
        selection=selection,
        protocol=protocol,
        splits=splits,
        baselines=baselines,
        settings=settings or (),
        training={"epochs": epochs, "device": device},
    )
    show_run(config, graph, out=out, only_config=print_config)


def _go_on(path: Path, root: Path | None) -> None:
    from graphcl.training import RunFolder

    if RunFolder.finished(path):
        typer.echo(f"the run in {path} is finished: nothing is left to do")
        return
    folder = RunFolder.reopen(path)

    from graphcl import datasets
    from graphcl.cli.show import show_run
    from graphcl.tasks import read_config

    config = read_config(path / "config.yaml")
    graph = datasets.load(config.dataset, root)
    show_run(config, graph, reopened=folder)
