"""Names to split sequences: every folder whose events have an order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from graphcl.datasets.root import data_root
from graphcl.errors import InputError
from graphcl.recsys.data.catalogue import DOMAIN, scan
from graphcl.recsys.data.registry import load_events
from graphcl.recsys.sequences.split import How, SequenceSplit, sequence_split


def load_sequences(name: str, root: str | Path | None = None, *, how: How = "leave-one-out") -> SequenceSplit:
    """The sequences called ``name``, checked and split, with their provenance.

    Files of sequences have an order and no times. Published parts with times in each of them are put together and split anew.

    Args:
        name: A folder under ``root/recsys``, as ``name`` or ``recsys/name``.
        root: The data root; see ``graphcl.datasets.data_root``.
        how: As in `sequence_split`; ``"temporal"`` takes times.

    Raises:
        InputError: Unknown name, events without an order, bad root, or a file that is damaged or not as described.
    """
    events = load_events(name, root)
    own = name.removeprefix(f"{DOMAIN}/")
    folder = next((folder for folder in scan(data_root(root)) if folder.name == own), None)
    if events.time is None and (folder is None or folder.kind != "sequences"):
        raise InputError(f"{own}: expected events in order of time, got pairs without times; 'beauty' has sequences, say")
    made = sequence_split(events, how=how, name=own)
    if folder is None:
        return made
    provenance = replace(
        made.split.provenance, domain=DOMAIN, source=folder.source, licence=folder.licence, sha256=folder.check_files()
    )
    return replace(made, split=replace(made.split, provenance=provenance))
