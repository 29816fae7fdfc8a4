"""Embeddings of users and items in one table with their ids, for a vector index or another program."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import polars as pl
from safetensors.numpy import save_file

from graphcl.errors import InputError
from graphcl.tasks.recommender_store import TrainedRecommender
from graphcl.training.run_folder import replacing

ENDINGS = (".npy", ".parquet", ".safetensors")


def export_embeddings(trained: TrainedRecommender, path: Path) -> Path:
    """Writes users, then items, one row each, as float32; see ``Recommender.export_embeddings``."""
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"{path}: expected a file ending in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    if trained.embeddings is None:
        raise InputError(
            f"{trained.method} scores without embeddings, so there is nothing to export: take ials or a trained system"
        )
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: there is no folder {path.parent} that could be written to")
    users, items = (np.ascontiguousarray(side.float().cpu().numpy()) for side in trained.embeddings)
    about = {
        "method": trained.method, "metric": "inner product", "normalised": False, "users": len(users), "items": len(items),
        "dim": users.shape[1], "users_sha256": trained.users.sha256, "items_sha256": trained.items.sha256,
    }  # fmt: skip
    ids = pl.concat([trained.users.ids.cast(pl.String), trained.items.ids.cast(pl.String)]).alias("id")
    side = pl.Series("side", ["user", "item"]).gather(np.repeat([0, 1], [len(users), len(items)]))
    if path.suffix.lower() == ".parquet":
        rows = np.concatenate([users, items])
        frame = pl.DataFrame(rows, schema=[f"e{index}" for index in range(rows.shape[1])], orient="row")
        with replacing(path) as temporary:
            frame.insert_column(0, ids).insert_column(0, side).write_parquet(temporary)
    else:
        with replacing(path.with_suffix(".ids.csv")) as temporary:
            pl.DataFrame([side, ids]).write_csv(temporary)
        with replacing(path) as temporary:
            if path.suffix.lower() == ".npy":
                np.save(temporary, np.concatenate([users, items]), allow_pickle=False)
            else:
                save_file({"users": users, "items": items}, temporary, {key: str(value) for key, value in about.items()})
    with replacing(path.with_suffix(".about.json")) as temporary:
        temporary.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return path
