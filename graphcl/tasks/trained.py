"""A trained system on disk, with what it has to know of the graph it was trained on, so that it embeds new graphs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphcl.datasets.provenance import hash_arrays
from graphcl.errors import InputError
from graphcl.models import find_system
from graphcl.tasks.fitting import build_system
from graphcl.tasks.prepare import check_graph, place, prepare
from graphcl.tasks.run_config import check_model, check_training
from graphcl.training import NonFiniteLossError, RunFolder, TrainingConfig, load_weights, save_weights
from graphcl.training.trainer import REMEDY

WEIGHTS, ABOUT = "model.safetensors", "model.json"
FORMAT = 1  # a reader refuses files of a later one


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained system and what it was made with.

    Args:
        method: Name of the system.
        sizes: What its constructor took by position: the width of the features, and for clustering the number of clusters.
        params: Its keyword hyper-parameters.
        training: Settings of the loop.
        seed: Of everything random.
        features: ``"given"``, or ``"positional"`` when the graph brought none.
        feature_names: What the columns are called, where they have names.
        edges: Checksum of the graph, where features are positional: they hold for no other.
        system: The module.
    """

    method: str
    sizes: tuple[int, ...]
    params: Mapping[str, Any]
    training: TrainingConfig
    seed: int
    features: str
    feature_names: tuple[str, ...] | None
    edges: str | None
    system: Any = field(repr=False)

    @classmethod
    def of(
        cls, system: Any, data: Data, *, method: str, sizes: tuple[int, ...], params: Mapping[str, Any],
        training: TrainingConfig, seed: int, features: str,
    ) -> Trained:  # fmt: skip
        """What has just been trained on ``data``."""
        names = tuple(data.feature_names) if "feature_names" in data else None
        edges = edges_checksum(data) if features == "positional" else None
        return cls(method, sizes, dict(params), training, seed, features, names, edges, system)

    def check(self, data: Data) -> None:
        """Refuses a graph that this system cannot embed.

        Raises:
            InputError: Bad data, features of another width or with other names, or positional ones of another graph.
        """
        check_graph(data)
        if (self.features == "positional") != (data.x is None) or (data.x is None and edges_checksum(data) != self.edges):
            raise InputError(
                "positional features do not carry over to another graph: give the nodes of both graphs features"
                if data.x is None
                else f"{self.method} was trained on positional features, since its graph brought none, and this one has "
                f"{data.x.shape[1]} of its own: train on a graph with the same features"
            )
        if data.x is None:
            return
        names = tuple(data.feature_names) if "feature_names" in data else None
        width = self.sizes[0]
        if data.x.shape[1] != width:
            raise InputError(
                f"{self.method} was made for {width} features a node; got x of shape {tuple(data.x.shape)}: "
                f"{_columns(self.feature_names, names)}"
            )
        if self.feature_names is not None and names is not None and names != self.feature_names:
            at = next(at for at, (mine, theirs) in enumerate(zip(self.feature_names, names, strict=True)) if mine != theirs)
            raise InputError(
                f"the features must be those trained with, in their order: column {at} was '{self.feature_names[at]}' and is "
                f"'{names[at]}'"
            )

    def embed(self, data: Data) -> npt.NDArray[np.float32]:
        """Embeddings of a graph's nodes, possibly of another than the one trained on.

        Shapes:
            returns: ``(N, D)`` float32.

        Raises:
            InputError: See `check`.
            NonFiniteLossError: The weights have diverged.
        """
        self.check(data)
        graph, _ = prepare(data)
        return embedding(self.system, place(graph, next(self.system.parameters()).device))

    def write(self, folder: RunFolder) -> None:
        """Adds ``model.safetensors`` and ``model.json`` to a folder; the latter comes last."""
        with folder.replacing(WEIGHTS) as path:
            save_weights(self.system, path)
        folder.write_json(
            ABOUT,
            {
                "format": FORMAT,
                "system": self.method,
                "sizes": list(self.sizes),
                "model": dict(self.params),
                "training": asdict(self.training),
                "seed": self.seed,
                "features": self.features,
                "feature_names": None if self.feature_names is None else list(self.feature_names),
                "edges": self.edges,
            },
        )

    @classmethod
    def read(cls, path: str | Path, device: str = "auto") -> Trained:
        """What `write` left in a folder, a finished run's for example.

        Args:
            path: The folder.
            device: Where to put the system.

        Raises:
            InputError: No such folder, a run that is not finished, files that are missing or damaged, or of a later format.
        """
        path = Path(path)
        if not path.is_dir():
            raise InputError(f"{path}: there is no such folder")
        if (path / "config.yaml").exists() and not RunFolder.finished(path):
            resumable = (path / "checkpoints").is_dir()
            remedy = f"finish it with graphcl run --resume {path}" if resumable else "start it again"
            raise InputError(f"{path} holds a run that is not finished, so there is nothing to embed with: {remedy}")
        if not (path / ABOUT).exists():
            raise InputError(f"{path} holds no trained system, for want of {ABOUT}: name the folder of a finished run")
        about = _read(path / ABOUT)
        if about.get("task") in ("recommendation", "sequential"):
            raise InputError(f"{path} holds a recommender, which embeds no graphs: use Recommender.load")
        try:
            entry = find_system(about["system"])
            sizes = tuple(int(size) for size in about["sizes"])
            names = about["feature_names"]
            content = {key: about[key] for key in ("seed", "features", "edges")}
            training = check_training(about["training"])
            model = check_model(entry, about["model"])
            if content["features"] not in ("given", "positional") or len(sizes) != (1 if entry.task == "node" else 2):
                raise ValueError("unexpected features or sizes")
        except InputError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path / ABOUT} is damaged or was changed ({error}): train again") from error
        system = build_system(entry, sizes, model)
        load_weights(system, path / WEIGHTS)
        system.eval().to(replace(training, device=device, precision="fp32").torch_device())
        return cls(
            method=entry.name,
            sizes=sizes,
            params=model,
            training=training,
            feature_names=None if names is None else tuple(names),
            system=system,
            **content,
        )


def embedding(system: Any, graph: Data) -> npt.NDArray[np.float32]:
    """What a system says of a prepared graph on its device.

    Shapes:
        returns: ``(N, D)`` float32.

    Raises:
        NonFiniteLossError: It is not finite.
    """
    z: Tensor = system.embed(graph)
    if not bool(torch.isfinite(z).all()):
        raise NonFiniteLossError(f"the embedding is not finite: training diverged; {REMEDY}")
    return np.asarray(z.float().cpu().numpy())


def edges_checksum(data: Data) -> str:
    """SHA-256 of a graph's edges, in their order."""
    return hash_arrays({"edge_index": data.edge_index.cpu().numpy()})


def _read(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        version = about["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read as the description of a model: it is damaged or none of ours") from error
    if not isinstance(version, int) or version > FORMAT:
        raise InputError(f"{path} has format version {version}, and this graphcl reads up to {FORMAT}: use a newer graphcl")
    return dict(about)


def _columns(wanted: tuple[str, ...] | None, names: tuple[str, ...] | None) -> str:
    if wanted is None or names is None:
        return "give it the same features in the same order"
    missing, more = [name for name in wanted if name not in names], [name for name in names if name not in wanted]
    parts = [f"{what} {', '.join(shown[:5])}" for what, shown in (("missing", missing), ("not known", more)) if shown]
    return "; ".join(parts) or "columns are repeated"
