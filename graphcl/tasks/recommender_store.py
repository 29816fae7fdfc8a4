"""A trained recommender on disk: what it learned, from which rows, and which id every row number means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from graphcl.datasets.arrays import read_arrays
from graphcl.errors import InputError
from graphcl.models import SystemEntry
from graphcl.recsys.anchors import GFCF, IALS, Markov, Popularity
from graphcl.recsys.anchors.history import HistoryModel
from graphcl.recsys.data import IdMap
from graphcl.recsys.fitting import Served
from graphcl.recsys.graph import Bipartite
from graphcl.recsys.methods import ANCHORS, SEQUENTIAL, TASK, build_anchor, find_method
from graphcl.recsys.ranking import Embeddings, HasRows, Rows, fingerprint
from graphcl.recsys.ranking.rows import Ints, check_rows, degrees, matrix, popularity
from graphcl.recsys.ranking.top_k import Scorer
from graphcl.recsys.sequences import Sequences
from graphcl.recsys.systems.sequential import SequenceSystem
from graphcl.tasks.fitting import build_system
from graphcl.tasks.recommender_order import Order
from graphcl.tasks.run_config import check_training
from graphcl.training import RunFolder, TrainingConfig
from graphcl.training.tensor_file import read_tensor_file, write_tensor_file

WEIGHTS, ABOUT = "model.safetensors", "model.json"
USERS, ITEMS, ROWS, ORDER = "users.npz", "items.npz", "interactions.npz", "sequences.npz"
FORMAT = 1  # a reader refuses files of a later one

Model: TypeAlias = Popularity | HistoryModel | Embeddings | Markov | SequenceSystem


@dataclass(frozen=True, eq=False)
class TrainedRecommender:
    """A model that scores, the rows it learned from, and the ids on both sides.

    Of a trained system what scores is kept: the final embeddings, or of a sequential one the encoder of histories.

    Args:
        method: Name of the method.
        params: Its hyper-parameters, as they were given.
        training: Settings of the loop.
        seed: Of everything random.
        users: Ids of the users.
        items: Ids of the items.
        rows: Training rows.
        model: What scores.
        best_epoch: Of a system: the epoch that validation chose, counted from 0.
        order: Of a sequential method: the histories.
    """

    method: str
    params: Mapping[str, Any]
    training: TrainingConfig
    seed: int
    users: IdMap
    items: IdMap
    rows: HasRows
    model: Model = field(repr=False)
    best_epoch: int | None = None
    order: Order | None = field(default=None, repr=False)

    @cached_property
    def scorer(self) -> Served:
        """What ranks, by row numbers: the model with its fallback."""
        return Served(self.ranker, self.rows, self.known)

    def scorer_after(self, histories: Sequences) -> Served:
        """The same for other histories of the same users, such as those before a part of a split.

        Raises:
            InputError: A method that is not sequential, or histories over other items.
        """
        if not isinstance(self.model, Markov | SequenceSystem):
            raise InputError(f"{self.method} does not go by the order of events: use scorer")
        return Served(self.model.scorer(histories), self.rows, histories.interactions())

    @cached_property
    def ranker(self) -> Scorer:
        """The model as a function of row numbers; the first call of a sequential system encodes all histories."""
        if isinstance(self.model, Markov | SequenceSystem):
            assert self.order is not None
            return self.model.scorer(self.order.histories)
        return self.model

    @cached_property
    def known(self) -> HasRows:
        """What is known of each user, and therefore left out of lists: more than ``rows`` where there is an order."""
        return self.rows if self.order is None else self.order.histories.interactions()

    @cached_property
    def user_degree(self) -> Ints:
        """Known items of each user."""
        return degrees(self.known)

    @cached_property
    def item_degree(self) -> Ints:
        """Users of each item."""
        return popularity(self.rows)

    @property
    def embeddings(self) -> tuple[Tensor, Tensor] | None:
        """Users ``(U, D)`` and items ``(I, D)`` whose inner products are the scores; ``None`` where there are none."""
        found = self.model if self.order is None else self.ranker
        if isinstance(found, Embeddings):
            return found.users, found.items
        if isinstance(self.model, IALS):
            return self.model.users_, self.model.items_
        return None

    @property
    def item_embeddings(self) -> Tensor | None:
        """Those of items alone, for which no history is encoded."""
        if isinstance(self.model, SequenceSystem):
            return self.model.item_embeddings().detach()
        return None if self.embeddings is None else self.embeddings[1]

    @property
    def num_bytes(self) -> int:
        """What it takes to recommend: the model and the training rows."""
        learned: Any = _learned(self.model)
        if isinstance(self.model, Markov):
            learned = (self.model.weights_.data, self.model.weights_.indices, self.model.weights_.indptr)
        rows = self.rows.indptr.nbytes + self.rows.indices.nbytes if self.order is None else self.order.num_bytes
        return _bytes(learned) + rows

    def write(self, folder: RunFolder) -> None:
        """Adds five files to a folder: weights, ids of users and items, training rows, and last ``model.json``.

        Raises:
            InputError: Hyper-parameters that are no plain values.
        """
        params = _plain(self.params)
        for name, ids in ((USERS, self.users), (ITEMS, self.items)):
            with folder.replacing(name) as path:
                ids.save(path)
        rows: dict[str, Any] = {"indptr": self.rows.indptr, "indices": self.rows.indices}
        if self.order is not None:
            rows = dict(self.order.arrays())
        name = ROWS if self.order is None else ORDER
        folder.write(name, lambda file: np.savez_compressed(file, allow_pickle=False, **rows))
        identity = self._identity()
        with folder.replacing(WEIGHTS) as path:
            write_tensor_file(path, _learned(self.model), {"kind": "recommender", **identity})
        about = {
            "format": FORMAT, "task": find_method(self.method).task, "system": self.method, "model": params,
            "training": asdict(self.training), "seed": self.seed, "best_epoch": self.best_epoch, **identity,
        }  # fmt: skip
        folder.write_json(ABOUT, about)

    @classmethod
    def read(cls, path: str | Path, device: str = "auto") -> TrainedRecommender:
        """What `write` left in a folder.

        Args:
            path: The folder.
            device: Where to put the embeddings of a system.

        Raises:
            InputError: No such folder, no recommender in it, or files that are missing, damaged, of a later format, or of
                different models.
        """
        path = Path(path)
        if not path.is_dir():
            raise InputError(f"{path}: there is no such folder")
        if not (path / ABOUT).exists():
            raise InputError(f"{path} holds no trained recommender, for want of {ABOUT}: name the folder of one that was saved")
        about = _read_about(path / ABOUT)
        users, items = IdMap.load(path / USERS), IdMap.load(path / ITEMS)
        ordered = about["task"] == SEQUENTIAL
        order = Order.read(path / ORDER, users, items) if ordered else None
        rows = _read_rows(path / ROWS, users, items) if order is None else order.learned.interactions()
        try:
            entry, params = find_method(about["system"]), dict(about["model"])
            training, seed, best_epoch = check_training(about["training"]), int(about["seed"]), about["best_epoch"]
            identity = {key: about[key] for key in ("method", "users", "items", "rows")}
            if about["task"] != entry.task or identity["method"] != entry.name:
                raise ValueError("it describes another model")
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path / ABOUT} is damaged or was changed ({error}): save the model again") from error
        users.expect(identity["users"], f"the model in {path}")
        items.expect(identity["items"], f"the model in {path}")
        learned, note = read_tensor_file(path / WEIGHTS)
        there = fingerprint(rows) if order is None else order.sha256
        if there != identity["rows"] or note != {"kind": "recommender", **identity}:
            own = ROWS if order is None else ORDER
            raise InputError(f"{path}: its files are not of one model, {own}, {WEIGHTS} and {ABOUT} differ: save it again")
        where = replace(training, device=device, precision="fp32").torch_device()
        if order is None:
            model = _model(entry, params, seed, rows, learned, where)
        else:
            model = _sequence_model(entry, params, order.learned, learned, where)
        return cls(entry.name, params, training, seed, users, items, rows, model, best_epoch, order)

    def _identity(self) -> dict[str, str]:
        rows = fingerprint(self.rows) if self.order is None else self.order.sha256
        return {"method": self.method, "users": self.users.sha256, "items": self.items.sha256, "rows": rows}


def _plain(params: Mapping[str, Any]) -> dict[str, Any]:
    """Hyper-parameters as JSON has them."""
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in params.items()}
    for name, value in plain.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InputError(f"the parameter {name} = {value!r} cannot be kept on disk: give numbers, text or lists") from error
    return plain


def _learned(model: Model) -> dict[str, Any]:
    """The state of a model as tensors and arrays; what the training rows give at once is left out."""
    if isinstance(model, Embeddings):
        return {"users": model.users, "items": model.items, "bias": model.bias}
    if isinstance(model, Popularity):
        return {}
    if isinstance(model, Markov):  # its counts are those of the training rows
        return {"decay": model.decay_, "power": model.power_}
    if isinstance(model, SequenceSystem):
        return dict(model.encoder.state_dict())
    state = {}
    for name, value in vars(model).items():
        if name == "histories_" or not name.endswith("_"):
            continue
        if isinstance(value, sp.csr_matrix):
            state[name] = {"csr": (value.data, value.indices, value.indptr), "shape": tuple(value.shape)}
        elif isinstance(value, Tensor | np.ndarray):
            state[name] = value  # type: ignore[assignment]
    return state


def _bytes(state: object) -> int:
    if isinstance(state, dict):
        return sum(map(_bytes, state.values()))
    if isinstance(state, tuple):
        return sum(map(_bytes, state))
    return state.nbytes if isinstance(state, Tensor | np.ndarray) else 0


def _model(
    entry: SystemEntry, params: Mapping[str, Any], seed: int, rows: HasRows, learned: Mapping[str, Any], device: torch.device
) -> Model:
    if entry.name not in ANCHORS:
        users, items = (learned[name].to(device) for name in ("users", "items"))
        bias = None if learned["bias"] is None else learned["bias"].to(device)
        return Embeddings(users, items, bias, trained_on=fingerprint(rows))
    model: Popularity | HistoryModel = build_anchor(entry, params, seed=seed)
    if isinstance(model, Popularity):
        return model.fit(rows)
    for name, value in learned.items():
        held = sp.csr_matrix(value["csr"], shape=value["shape"]) if isinstance(value, dict) else value
        setattr(model, name, held)
    if isinstance(model, GFCF):
        model.block_ = Bipartite(rows).matrix
    model.histories_, model.trained_on = matrix(rows), fingerprint(rows)
    return model


def _sequence_model(
    entry: SystemEntry, params: Mapping[str, Any], sequences: Sequences, learned: Mapping[str, Any], device: torch.device
) -> Markov | SequenceSystem:
    if entry.name in ANCHORS:
        chosen: Markov = build_anchor(entry, {**params, **learned})
        return chosen.fit(sequences)
    with torch.random.fork_rng(devices=[]):  # the fresh weights are overwritten at once
        system: SequenceSystem = build_system(entry, (sequences,), params)
    try:
        system.encoder.load_state_dict(dict(learned))
    except RuntimeError as error:
        raise InputError(f"{entry.name}: the weights are not those of the parameters beside them: save it again") from error
    return system.eval().to(device)


def _read_rows(path: Path, users: IdMap, items: IdMap) -> Rows:
    arrays = read_arrays(path)
    if {"indptr", "indices"} - arrays.keys():
        raise InputError(f"{path}: expected arrays 'indptr' and 'indices', found {', '.join(arrays) or 'none'}")
    rows = Rows(arrays["indptr"].astype(np.int64), arrays["indices"].astype(np.int32), len(users), len(items))
    check_rows(rows, str(path))
    return rows


def _read_about(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        version = about["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read as the description of a model: it is damaged or none of ours") from error
    if not isinstance(version, int) or version > FORMAT:
        raise InputError(f"{path} has format version {version}, and this graphcl reads up to {FORMAT}: use a newer graphcl")
    if about.get("task") not in (TASK, SEQUENTIAL):
        raise InputError(f"{path} describes no recommender; NodeEmbedder.load is for node systems")
    return dict(about)
