"""``graphcl run``: trains a system on a data set and evaluates it by the data set's protocol."""

from __future__ import annotations

from typing import Annotated

import typer

from graphcl.cli.options import Clusters, Data, Device, Epochs, Out, PrintConfig, Seeds, Selection, Settings
from graphcl.errors import InputError


def run(
    system: Annotated[str, typer.Argument(help="A system; see: graphcl list systems")] = "pamc",
    dataset: Annotated[str, typer.Argument(help="A data set, or domain/name; see: graphcl list datasets")] = "digits",
    k: Clusters = None,
    settings: Settings = None,
    seeds: Seeds = None,
    epochs: Epochs = None,
    selection: Selection = None,
    device: Device = None,
    out: Out = None,
    data: Data = None,
    print_config: PrintConfig = False,
) -> None:
    """Train and evaluate a system. With no argument: PamC on the handwritten digits, which need no download."""
    from graphcl import datasets
    from graphcl.models import SYSTEMS, find_system

    if system not in SYSTEMS and any(system == entry.name for entry in datasets.names(data)):
        raise InputError(f"'{system}' is a data set, and the system comes first; try: graphcl run pamc {system}")
    entry = find_system(system)  # before torch is loaded: a typo is answered at once

    from graphcl.cli.show import show_run
    from graphcl.tasks import resolve

    graph = datasets.load(dataset, data, prefer=entry.task)
    provenance = graph.provenance
    name = provenance.name if provenance.domain == "embedded" else f"{provenance.domain}/{provenance.name}"
    config = resolve(
        system,
        name,
        n_clusters=k,
        seeds=seeds,
        selection=selection,
        settings=settings or (),
        training={"epochs": epochs, "device": device},
    )
    show_run(config, graph, out=out, only_config=print_config)
