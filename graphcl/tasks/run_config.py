"""Everything that decides a run, checked once at the edge: recipe, then ``--set``, then the command's own options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, Literal, get_type_hints

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from graphcl.errors import InputError, unknown_name
from graphcl.evaluation.selection import Rule
from graphcl.evaluation.splits import PROTOCOLS
from graphcl.models import SystemEntry, find_system
from graphcl.models.recipes import find_recipe
from graphcl.recsys.methods import ANCHORS
from graphcl.recsys.ranking import ranking_protocol
from graphcl.training import TrainingConfig

DECIDED = ("seed", "mask_seen")  # arguments of a simple recommender that a run decides for it
MOST_SEEDS = 1000  # whoever asks for more took the number of runs for the seed

RANKED = ("recommendation", "sequential")  # tasks of recommenders
_RANKED = {"protocol": "--protocol", "every": "--every", "patience": "--patience", "refit": "--refit/--no-refit"}

# How a run is judged, task by task: keys of a configuration and of a recipe's protocol, and options of the command line.
WISHES = {
    "clustering": {"n_clusters": "--k", "selection": "--selection"},
    "node": {"protocol": "--protocol", "splits": "--splits"},
    "recommendation": _RANKED,
    "sequential": _RANKED,
}


@dataclass(frozen=True)
class RunConfig:
    """A resolved run: what ``config.yaml`` holds.

    Args:
        system: Name of the system.
        dataset: ``domain/name``, or the name of an embedded set.
        n_clusters: Of a clustering system: the number of clusters; the number of classes when ``None``.
        seeds: One training run each.
        selection: Of a clustering system: which epoch speaks.
        protocol: Of a node system: ``"public"`` or ``"random"`` splits; when ``None``, public where the data has masks and
            random elsewhere. Of a recommendation system: the id under which the numbers stand, which may narrow the split's
            own, as ``"lit-ratio-ngcf"`` does; the split's own when ``None``. Of a sequential system: ``"lit-loo-s3"`` when
            ``None``, ``"lit-loo-recbole"``, which lists seen items too, or ``"strict"``, which splits events by time.
        splits: Of a node system: how many random splits; all 20 of the protocol when ``None``.
        every: Of a recommender: epochs between two looks at the validation part.
        patience: Of a recommender: looks without a gain after which training stops.
        refit: Of a recommender: whether the chosen number of epochs is trained again on training and validation
            part together; when ``None``, where the validation part was taken out of the training part.
        baselines: Whether what needs no training is scored beside it; ``"full"`` for all there is of it, not only what is
            cheap.
        model: Every keyword hyper-parameter of the system.
        training: Settings of the loop.

    Raises:
        InputError: A number below 1, or a protocol that is unknown.
    """

    system: str
    dataset: str
    n_clusters: int | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    selection: Rule = "last"
    protocol: str | None = None
    splits: int | None = None
    every: int = 5
    patience: int = 10
    refit: bool | None = None
    baselines: bool | Literal["full"] = True
    model: Mapping[str, Any] = field(default_factory=dict)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        if self.protocol is not None and find_entry(self.system).task in RANKED:
            ranking_protocol(self.protocol)
        elif self.protocol not in (None, *PROTOCOLS):
            raise unknown_name("protocol", str(self.protocol), PROTOCOLS)
        if self.splits is not None and self.splits < 1:
            raise InputError(f"splits must be >= 1, the number of random splits; got {self.splits}")
        if self.every < 1:
            raise InputError(f"every must be >= 1, the epochs between two looks at the validation part; got {self.every}")
        if self.patience < 1:
            raise InputError(f"patience must be >= 1, the looks without a gain that end training; got {self.patience}")

    @property
    def can_grow(self) -> bool:
        """Whether a run of more epochs begins like this one: validation speaks of every epoch, and none depends on the last."""
        return find_entry(self.system).task in RANKED and self.training.schedule == "constant"

    def longer(self, epochs: int) -> RunConfig:
        """The same run with more epochs. Validation looked at the last of those it has, also where it was not its turn.

        Raises:
            InputError: They are no more, or the run is not one that can grow.
        """
        own = self.training
        if not self.can_grow:
            raise InputError(
                "a run goes on with more --epochs if it is a recommender's and its learning rate constant; this one is of "
                f"{self.system}, schedule={own.schedule}: start a longer one, with --out and another folder"
            )
        if epochs <= own.epochs:
            raise InputError(f"--epochs {epochs}: this run has {own.epochs} already; ask for more, or leave it out")
        return replace(self, training=replace(own, epochs=epochs))

    def as_dict(self) -> dict[str, Any]:
        """Plain containers, for YAML and JSON: what its task asks for, and nothing of other tasks."""
        return {
            "system": self.system,
            "dataset": self.dataset,
            **{name: getattr(self, name) for name in WISHES[find_entry(self.system).task]},
            "seeds": list(self.seeds),
            "baselines": self.baselines,
            "model": dict(self.model),
            "training": asdict(self.training),
        }


def resolve(
    system: str,
    dataset: str,
    *,
    n_clusters: int | None = None,
    seeds: int | None = None,
    selection: str | None = None,
    protocol: str | None = None,
    splits: int | None = None,
    every: int | None = None,
    patience: int | None = None,
    refit: bool | None = None,
    baselines: bool | Literal["full"] | None = None,
    settings: Iterable[str] = (),
    training: Mapping[str, Any] | None = None,
    first_seed: int = 0,
) -> RunConfig:
    """The run that a system, a data set and some wishes amount to.

    Args:
        system: Name of the system.
        dataset: Name of the data set, for which a recipe may exist.
        n_clusters: Number of clusters; the number of classes when ``None``.
        seeds: How many; the recipe's number, or 3, when ``None``; 1 of a model that is solved rather than trained.
        selection: Instead of the recipe's.
        protocol: Instead of the recipe's.
        splits: Instead of the recipe's.
        every: Instead of the recipe's.
        patience: Instead of the recipe's.
        refit: Instead of the recipe's.
        baselines: Instead of the recipe's.
        settings: ``key=value`` with ``model.temperature`` or ``training.lr`` for a key; the section may be left out.
        training: Settings of the loop by name, stronger than ``settings``; those that are ``None`` are passed over.
        first_seed: From which the seeds are counted.

    Raises:
        InputError: An unknown name or key, a value of the wrong type or out of range, or a wish of another task.
    """
    entry = find_entry(system)
    wishes = {
        "n_clusters": n_clusters, "selection": selection, "protocol": protocol, "splits": splits, "every": every,
        "patience": patience, "refit": refit,
    }  # fmt: skip
    check_wishes(entry, wishes)
    recipe = find_recipe(system, dataset)
    model = dict(recipe.model) if recipe else {}
    loop = dict(recipe.training) if recipe else {}
    judged = dict(recipe.protocol) if recipe else {}
    judged |= {name: value for name, value in {**wishes, "baselines": baselines}.items() if value is not None}
    keys, sections = _keys(entry), {"model": model, "training": loop}
    for setting in settings:
        section, key, value = _parse(setting, keys)
        sections[section][key] = value
    loop |= {key: value for key, value in (training or {}).items() if value is not None}
    if entry.task in RANKED and loop.get("batch_nodes") is not None:
        raise InputError(f"batch_nodes is for clustering and node systems, and {system} draws batches of its own: leave it out")
    count = judged.pop("seeds", 1 if system in ANCHORS else 3) if seeds is None else seeds
    judged.pop("seeds", None)
    if not 1 <= count <= MOST_SEEDS:
        raise InputError(f"seeds is the number of runs and must lie in 1 .. {MOST_SEEDS}; got {count}")
    if not 0 <= first_seed <= 2**32 - count:
        raise InputError(f"a seed lies in 0 .. 4294967295; got {first_seed}")
    if "selection" in judged:
        judged["selection"] = _validate(TypeAdapter(Rule), judged["selection"], "selection")
    return RunConfig(
        system=system,
        dataset=dataset,
        seeds=tuple(range(first_seed, first_seed + count)),
        model=check_model(entry, model),
        training=check_training(loop),
        **judged,
    )


def find_entry(name: str) -> SystemEntry:
    """The entry of a system, or of a simple recommender that needs no training.

    Raises:
        InputError: Unknown, with the nearest names.
    """
    return ANCHORS.get(name) or find_system(name)


def takes(entry: SystemEntry, setting: str) -> bool:
    """Whether a system has the key of a ``key=value``."""
    try:
        _parse(setting, _keys(entry))
    except InputError:
        return False
    return True


def check_wishes(entry: SystemEntry, wishes: Mapping[str, Any]) -> None:
    """Refuses what is asked of a system that is of another task's concern.

    Args:
        entry: The system.
        wishes: Of `WISHES`, by name; those that are ``None`` were not asked for.

    Raises:
        InputError: What is refused, and what the system's task takes instead.
    """
    own = WISHES[entry.task]
    for name, value in wishes.items():
        if value is not None and name not in own:
            tasks = [task for task, options in WISHES.items() if name in options]
            raise InputError(
                f"{WISHES[tasks[0]][name]} is for {_and(tasks)} systems, and {entry.name} is a {entry.task} system: "
                f"leave it out ({entry.task} systems take {_and(list(own.values()))})"
            )


def check_model(entry: SystemEntry, model: Mapping[str, Any]) -> dict[str, Any]:
    """Every keyword hyper-parameter of a system, with the defaults where ``model`` is silent.

    Raises:
        InputError: An unknown key, or a value of the wrong type.
    """
    content: dict[str, Any] = _validate(TypeAdapter(_model_schema(entry)), dict(model), "model").model_dump()
    return content


def check_training(loop: Mapping[str, Any]) -> TrainingConfig:
    """Settings of the loop, with the defaults where ``loop`` is silent.

    Raises:
        InputError: A value of the wrong type or out of range.
    """
    config: TrainingConfig = _validate(TypeAdapter(TrainingConfig), dict(loop), "training")
    return config


def read_config(path: Path) -> RunConfig:
    """The run that a ``config.yaml`` was written for.

    Raises:
        InputError: A file that cannot be read, was changed into something that cannot be run, or that another version wrote.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read ({str(error).splitlines()[0]}): the run cannot go on") from error
    config: RunConfig = _validate(TypeAdapter(RunConfig), content, path.name)
    config = replace(config, model=check_model(find_entry(config.system), config.model))
    written = config.as_dict()
    if written != content:
        names = sorted(name for name in {*written, *content} if written.get(name) != content.get(name))
        raise InputError(f"{path} was changed or written by another version, in {', '.join(names)}: the run cannot go on")
    return config


def _and(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _keys(entry: SystemEntry) -> dict[str, list[str]]:
    """What ``--set`` may name, by section."""
    return {"model": list(_model_schema(entry).model_fields), "training": [f.name for f in fields(TrainingConfig)]}


def _parse(setting: str, keys: Mapping[str, list[str]]) -> tuple[str, str, str]:
    name, equals, value = setting.partition("=")
    name = name.strip()
    if not equals or not name:
        raise InputError(f"--set expects key=value, for example --set model.temperature=0.5; got '{setting}'")
    section, dot, key = name.partition(".")
    if dot and key in keys.get(section, ()):
        return section, key, value.strip()
    key = key if dot else name
    holders = [section for section, known in keys.items() if key in known]
    if len(holders) == 1 and not dot:
        return holders[0], key, value.strip()
    if holders:  # in another section, or in several
        raise InputError(f"unknown key '{name}'; did you mean {' or '.join(f'{holder}.{key}' for holder in holders)}?")
    full = [f"{section}.{known}" for section, names in keys.items() for known in names]
    raise unknown_name("key", name, full if dot else [*full, *(key for known in keys.values() for key in known)])


def _model_schema(entry: SystemEntry) -> type[BaseModel]:
    """A schema of a system's hyper-parameters: the constructor stays the one place where they are written.

    These are its keyword-only arguments, and of a simple recommender all but the seed and what the protocol decides.
    """
    model = entry.load()
    anchor = entry.name in ANCHORS
    kinds = (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD) if anchor else (Parameter.KEYWORD_ONLY,)
    keywords = [p for p in signature(model).parameters.values() if p.kind in kinds and not (anchor and p.name in DECIDED)]
    hints = get_type_hints(model.__init__) if keywords else {}
    definitions: dict[str, Any] = {p.name: (hints[p.name], p.default) for p in keywords}
    schema: type[BaseModel] = create_model(entry.cls, __config__=ConfigDict(extra="forbid"), **definitions)
    return schema


def _validate(adapter: TypeAdapter[Any], value: Any, section: str) -> Any:
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, InputError):  # our own words already say what was expected and what came
            raise cause from None
        key = ".".join([section, *(str(part) for part in first["loc"])])
        raise InputError(f"{key}: {first['msg']}; got {first['input']!r}") from None
