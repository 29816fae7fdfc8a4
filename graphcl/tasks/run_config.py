"""Everything that decides a run, checked once at the edge: recipe, then ``--set``, then the command's own options."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from graphcl.errors import InputError, unknown_name
from graphcl.evaluation.selection import Rule
from graphcl.models import SystemEntry, find_system
from graphcl.models.recipes import find_recipe
from graphcl.training import TrainingConfig

MOST_SEEDS = 1000  # whoever asks for more took the number of runs for the seed


@dataclass(frozen=True)
class RunConfig:
    """A resolved run: what ``config.yaml`` holds.

    Args:
        system: Name of the system.
        dataset: ``domain/name``, or the name of an embedded set.
        n_clusters: Number of clusters; the number of classes when ``None``.
        seeds: One training run each.
        selection: Which epoch speaks.
        model: Every keyword hyper-parameter of the system.
        training: Settings of the loop.
    """

    system: str
    dataset: str
    n_clusters: int | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    selection: Rule = "last"
    model: Mapping[str, Any] = field(default_factory=dict)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def as_dict(self) -> dict[str, Any]:
        """Plain containers, for YAML and JSON."""
        return {
            "system": self.system,
            "dataset": self.dataset,
            "n_clusters": self.n_clusters,
            "seeds": list(self.seeds),
            "selection": self.selection,
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
    settings: Iterable[str] = (),
    training: Mapping[str, Any] | None = None,
    first_seed: int = 0,
) -> RunConfig:
    """The run that a system, a data set and some wishes amount to.

    Args:
        system: Name of the system.
        dataset: Name of the data set, for which a recipe may exist.
        n_clusters: Number of clusters; the number of classes when ``None``.
        seeds: How many; the recipe's number, or 3, when ``None``.
        selection: Instead of the recipe's.
        settings: ``key=value`` with ``model.temperature`` or ``training.lr`` for a key; the section may be left out.
        training: Settings of the loop by name, stronger than ``settings``; those that are ``None`` are passed over.
        first_seed: From which the seeds are counted.

    Raises:
        InputError: An unknown name or key, or a value of the wrong type or out of range.
    """
    entry = find_system(system)
    recipe = find_recipe(system, dataset)
    schema = _model_schema(entry)
    model = dict(recipe.model) if recipe else {}
    loop = dict(recipe.training) if recipe else {}
    protocol = dict(recipe.protocol) if recipe else {}
    sections = {"model": (list(schema.model_fields), model), "training": ([f.name for f in fields(TrainingConfig)], loop)}
    for setting in settings:
        section, key, value = _parse(setting, {name: keys for name, (keys, _) in sections.items()})
        sections[section][1][key] = value
    loop |= {key: value for key, value in (training or {}).items() if value is not None}
    count = protocol.get("seeds", 3) if seeds is None else seeds
    if not 1 <= count <= MOST_SEEDS:
        raise InputError(f"seeds is the number of runs and must lie in 1 .. {MOST_SEEDS}; got {count}")
    if not 0 <= first_seed <= 2**32 - count:
        raise InputError(f"a seed lies in 0 .. 4294967295; got {first_seed}")
    return RunConfig(
        system=system,
        dataset=dataset,
        n_clusters=n_clusters,
        seeds=tuple(range(first_seed, first_seed + count)),
        selection=_validate(TypeAdapter(Rule), selection or protocol.get("selection", "last"), "selection"),
        model=_validate(TypeAdapter(schema), model, "model").model_dump(),
        training=_validate(TypeAdapter(TrainingConfig), loop, "training"),
    )


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
    schema = _model_schema(find_system(config.system))
    model = _validate(TypeAdapter(schema), config.model, "model").model_dump()
    config = replace(config, model=model)
    written = config.as_dict()
    if written != content:
        names = sorted(name for name in {*written, *content} if written.get(name) != content.get(name))
        raise InputError(f"{path} was changed or written by another version, in {', '.join(names)}: the run cannot go on")
    return config


def _parse(setting: str, keys: Mapping[str, list[str]]) -> tuple[str, str, str]:
    name, equals, value = setting.partition("=")
    name = name.strip()
    if not equals or not name:
        raise InputError(f"--set expects key=value, for example --set model.temperature=0.5; got '{setting}'")
    section, dot, key = name.partition(".")
    if dot and key in keys.get(section, ()):
        return section, key, value.strip()
    holders = [section for section, known in keys.items() if name in known]
    if len(holders) == 1:
        return holders[0], name, value.strip()
    full = [f"{section}.{key}" for section, known in keys.items() for key in known]
    raise unknown_name("key", name, full if dot else [*full, *(key for known in keys.values() for key in known)])


def _model_schema(entry: SystemEntry) -> type[BaseModel]:
    """A schema of a system's keyword-only arguments: the constructor stays the one place where they are written."""
    constructor = entry.load().__init__
    hints = get_type_hints(constructor)
    keywords = [p for p in inspect.signature(constructor).parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY]
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
