"""Own files and frames to interactions, in memory that does not grow with the file's size on disk."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from graphcl.datasets.faults import Faults
from graphcl.errors import InputError
from graphcl.recsys.data.columns import find_columns, read_ids, read_times, read_weights
from graphcl.recsys.data.events import Duplicates, Events
from graphcl.recsys.data.feed import Source, open_feed
from graphcl.recsys.data.id_map import IdMap
from graphcl.recsys.data.interactions import LARGEST, Interactions

ROLE = "interactions"


def read_events(
    source: Source,
    *,
    user: str | None = None,
    item: str | None = None,
    weight: str | None = None,
    time: str | None = None,
    min_weight: float | None = None,
    users: IdMap | None = None,
    items: IdMap | None = None,
) -> Events:
    """Every row of a file or frame, in order, with ids numbered by first appearance.

    Rows are read a batch at a time and only numbers are kept: 8 bytes a row, 4 more with weights, 8 more with times, and twice
    that while the batches are joined. Beside it one batch, and the ids.

    Args:
        source: A file: ``.csv``, ``.tsv``, ``.inter`` (also with ``.gz``), ``.parquet``, ``.arrow``, ``.feather`` or ``.npz``;
            a frame of pandas, polars or pyarrow, or an iterable of such frames.
        user: Column of users; ``user``, ``user_id`` or ``userid`` when ``None``.
        item: Column of items; ``item``, ``item_id`` or ``itemid`` when ``None``.
        weight: Column of weights, 0 or more; ``weight`` or ``rating`` when ``None``, if there is one.
        time: Column of times; ``timestamp``, ``time`` or ``datetime`` when ``None``, if there is one. Numbers are kept as they
            are, without fractions; dates become unix seconds, UTC where they do not name a zone.
        min_weight: Rows of a smaller weight are left out; their users and items too, unless other rows have them.
        users: A map to go on from, such as that of a trained model; new users are added at its end.
        items: The same for items.

    Raises:
        InputError: Up to three faults in one line, each with its row and column; the rest of the file is not read then.
    """
    feed = open_feed(source, ROLE)
    columns = find_columns(feed.head, user=user, item=item, weight=weight, time=time)
    if min_weight is not None and columns.weight is None:
        raise InputError(f"{feed.head.name}: min_weight={min_weight} needs a column of weights; name it with weight=")
    users, items = users or IdMap.of([], "user"), items or IdMap.of([], "item")
    parts: list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32] | None, NDArray[np.int64] | None]] = []
    light = 0
    for table in feed.batches(columns.names()):
        faults = Faults()
        user_ids = read_ids(table, columns.user, "user", faults)
        item_ids = read_ids(table, columns.item, "item", faults)
        weights = None if columns.weight is None else read_weights(table, columns.weight, faults)
        times = None if columns.time is None else read_times(table, columns.time, faults)
        faults.check()
        if min_weight is not None and weights is not None:
            heavy = weights >= min_weight
            light += int(heavy.size - np.count_nonzero(heavy))
            user_ids, item_ids, weights = user_ids.filter(heavy), item_ids.filter(heavy), weights[heavy]
            times = None if times is None else times[heavy]
        users, user_codes = users.grow(user_ids)
        items, item_codes = items.grow(item_ids)
        if max(len(users), len(items)) > LARGEST:
            raise InputError(f"{feed.head.name}: more than {LARGEST:,} users or items, which is what 32 bits can number")
        parts.append((user_codes.astype(np.int32), item_codes.astype(np.int32), weights, times))
    if not sum(part[0].size for part in parts):
        why = f", {light:,} weigh less than {min_weight:g}" if light else ""
        raise InputError(f"{feed.head.name}: expected at least one row of interactions, got none{why}")
    return Events(
        users,
        items,
        np.concatenate([part[0] for part in parts]),
        np.concatenate([part[1] for part in parts]),
        None if columns.weight is None else np.concatenate([part[2] for part in parts if part[2] is not None]),
        None if columns.time is None else np.concatenate([part[3] for part in parts if part[3] is not None]),
        (("below min_weight", light),) if light else (),
    )


def read_interactions(
    source: Source,
    *,
    user: str | None = None,
    item: str | None = None,
    weight: str | None = None,
    time: str | None = None,
    min_weight: float | None = None,
    duplicates: Duplicates = "last",
) -> Interactions:
    """Each pair of user and item in a file or frame once; ``read_events`` explains the other arguments.

    Args:
        duplicates: What becomes of rows that repeat a pair: ``"last"``, ``"first"``, ``"sum"``, ``"count"`` or ``"refuse"``.
            See ``Events.interactions``.

    Raises:
        InputError: Up to three faults in one line, each with its row and column.
    """
    events = read_events(source, user=user, item=item, weight=weight, time=time, min_weight=min_weight)
    return events.interactions(duplicates)
