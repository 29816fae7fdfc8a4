"""Embeddings of the nodes of a graph, with scikit-learn's manners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from torch_geometric.data import Data

from graphcl.errors import InputError
from graphcl.evaluation import ProbeSummary, linear_probe, node_splits
from graphcl.evaluation.splits import COUNT, MASKS
from graphcl.models import find_system
from graphcl.tasks.fitting import build_system, train_system
from graphcl.tasks.prepare import check_graph, place, prepare
from graphcl.tasks.trained import ABOUT, Trained, embedding
from graphcl.training import Checkpoint, Observer, RunFolder, TrainingConfig, deterministic, seed_everything


class NodeEmbedder(BaseEstimator):  # type: ignore[misc]
    """Trains a node system on one graph and embeds its nodes, or those of another graph with the same features.

    ``NodeEmbedder("grace").fit(data).embed()`` is all it takes. Labels are never looked at, except by ``score``.

    Args:
        method: A node system, as ``graphcl list systems`` names it.
        params: Keyword hyper-parameters of the system; its defaults where silent.
        training: Epochs, learning rate, device, nodes of a batch; the defaults when ``None``.
        seed: Of everything random.
        progress: Whether a progress bar (plain lines when not a terminal) is shown.

    Attributes:
        embedding_: ``(N, D)`` float32, of the graph fitted; not there after ``load``.
        features_: ``"given"``, or ``"positional"`` when the graph brought none. Those belong to the one graph.
        n_features_in_: ``F``.
        history_: One mapping of terms per epoch; not there after ``load``.
        seconds_: Training time; not there after ``load``.
        system_: The trained module.
        trained_: The same with what it takes to embed a graph, and to be kept on disk.

    Raises:
        InputError: Bad data, an unknown method or parameter, a value out of range.
    """

    def __init__(
        self,
        method: str = "grace",
        *,
        params: Mapping[str, Any] | None = None,
        training: TrainingConfig | None = None,
        seed: int = 0,
        progress: bool = False,
    ) -> None:
        self.method = method
        self.params = params
        self.training = training
        self.seed = seed
        self.progress = progress

    def fit(
        self, data: Data, y: None = None, *, observers: Sequence[Observer] = (), checkpoint: Checkpoint | None = None
    ) -> NodeEmbedder:
        """Trains on the graph.

        Args:
            data: Features ``x`` (dense or CSR; positional ones are made where there are none) and ``edge_index``. Not changed.
            y: Not used; scikit-learn's signature has it.
            observers: Told of every epoch, a log for example.
            checkpoint: Where the training is kept, and taken up again; nowhere when ``None``.
        """
        check_graph(data)
        entry = find_system(self.method, task="node")
        config, params = self.training or TrainingConfig(), dict(self.params or {})
        device = config.torch_device()
        graph, features = prepare(data)
        graph = place(graph, device)
        sizes = (graph.x.shape[1],)
        seed_everything(self.seed)
        with deterministic(config.deterministic):
            system = build_system(entry, sizes, params).to(device)
            title = f"{self.method}, seed {self.seed}" if self.progress else None
            state = train_system(system, graph, config, observers, checkpoint, title, by_seeds=True)
            self.embedding_ = embedding(system, graph)
        self.history_, self.seconds_ = state.history, state.seconds
        self._take(
            Trained.of(
                system, data, method=self.method, sizes=sizes, params=params, training=config, seed=self.seed, features=features
            )
        )
        return self

    def embed(self, data: Data | None = None) -> npt.NDArray[np.float32]:
        """Embeddings of the graph fitted, or of another one by the same weights.

        Args:
            data: Another graph; its features must mean what those of the graph fitted mean, column by column.

        Shapes:
            returns: ``(N, D)``.

        Raises:
            NotFittedError: Before ``fit``.
            InputError: Features of another width or with other names, none on either side, or no graph after ``load``.
        """
        self._check_fitted()
        if data is not None:
            return self.trained_.embed(data)
        if not hasattr(self, "embedding_"):
            raise InputError("a loaded NodeEmbedder holds weights and no graph: give embed the graph")
        return self.embedding_

    def score(self, data: Data, y: None = None, *, protocol: str | None = None, splits: int = COUNT) -> ProbeSummary:
        """What a linear probe reads off the frozen embedding; see `linear_probe`.

        Args:
            data: A graph with ``y``, embedded first; masks for the public protocol.
            y: Not used; scikit-learn's signature has it.
            protocol: ``"public"`` or ``"random"``; public where the data has masks when ``None``.
            splits: How many of the random splits.

        Raises:
            NotFittedError: Before ``fit``.
            InputError: Data that cannot be embedded, or has no classes or no such splits.
        """
        self._check_fitted()
        chosen = node_splits(data, protocol or usual_protocol(data), splits)
        return linear_probe(self.trained_.embed(data), data.y, chosen)

    def save(self, path: str | Path) -> Path:
        """Writes the trained system into a folder: ``model.safetensors`` and ``model.json``. Nothing is pickled.

        Raises:
            NotFittedError: Before ``fit``.
            InputError: The folder holds a model or a run already, or cannot be written to.
        """
        self._check_fitted()
        if (Path(path) / ABOUT).exists():
            raise InputError(f"{path} holds a model already; name another folder, or remove it")
        self.trained_.write(RunFolder(path))
        return Path(path)

    @classmethod
    def load(cls, path: str | Path, *, device: str = "auto") -> NodeEmbedder:
        """What ``save`` wrote, or the first seed of a finished run of a node system.

        Args:
            path: The folder.
            device: Where to put the system.

        Raises:
            InputError: No trained node system there, or files that are missing or damaged.
        """
        trained = Trained.read(path, device)
        find_system(trained.method, task="node")
        embedder = cls(trained.method, params=dict(trained.params), training=trained.training, seed=trained.seed)
        embedder._take(trained)
        return embedder

    def _take(self, trained: Trained) -> None:
        self.trained_, self.system_, self.features_ = trained, trained.system, trained.features
        (self.n_features_in_,) = trained.sizes

    def _check_fitted(self) -> None:
        if not hasattr(self, "trained_"):
            raise NotFittedError("NodeEmbedder has no embedding yet: call fit first")


def usual_protocol(data: Data) -> str:
    """``"public"`` where the data brings a split of its own, else ``"random"``."""
    return "public" if all(key in data and data[key] is not None for key in MASKS) else "random"
