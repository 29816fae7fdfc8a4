"""Which settings a tuning varies, and between what: by default those of the system's own, around the values of its recipe."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import UnionType
from typing import Any, TypeAlias, Union, get_args, get_origin, get_type_hints

from graphcl.errors import InputError, unknown_name
from graphcl.recsys.methods import ANCHORS
from graphcl.tasks.run_config import RunConfig, find_entry
from graphcl.training import TrainingConfig

Value: TypeAlias = float | int | str
MOST_DROPPED = 0.8  # beyond it a view says little of its graph

# By the name of a hyper-parameter, how many times larger and smaller it may become; on a logarithmic scale.
FACTORS = {
    "temperature": 3.0, "eps": 3.0, "contrast": 10.0, "gamma": 10.0, "alpha": 3.0, "penalty": 100.0, "l2": 100.0,
    "unseen": 10.0, "neighbours": 10.0,
}  # fmt: skip
RATE = 10.0  # the same of the learning rate


@dataclass(frozen=True)
class Range:
    """A number between two others, both included.

    Args:
        key: ``model.NAME`` or ``training.NAME``.
        low: The least.
        high: The largest.
        log: Whether it is drawn on a logarithmic scale.
        whole: Whether it is a whole number.

    Raises:
        InputError: Nothing lies between, or a logarithmic scale that begins at 0 or below.
    """

    key: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise InputError(f"--space {self.key}: the first number must be below the second; got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise InputError(f"--space {self.key}: a logarithmic scale begins above 0; got {self.low}")

    def ends(self) -> list[Value]:
        """Both ends."""
        return [self.low, self.high]

    def near(self, value: Any) -> Value | None:
        """The value itself if it lies inside, with four digits that count; ``None`` elsewhere."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return None
        return value if self.whole else min(max(float(f"{value:.4g}"), self.low), self.high)

    def __str__(self) -> str:
        return f"{self.key}={self.low!r}:{self.high!r}{':log' if self.log else ''}"


@dataclass(frozen=True)
class Choice:
    """One of several values.

    Args:
        key: ``model.NAME`` or ``training.NAME``.
        values: As ``--set`` takes them.

    Raises:
        InputError: Fewer than two, or one of them twice.
    """

    key: str
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.values) < 2 or len(set(self.values)) < len(self.values):
            raise InputError(f"--space {self.key}: two or more different values are needed; got '{','.join(self.values)}'")

    def ends(self) -> list[Value]:
        """All of them."""
        return list(self.values)

    def near(self, value: Any) -> Value | None:
        """The value that reads the same; ``None`` where there is none."""
        return next((text for text in self.values if text.lower() == str(value).lower()), None)

    def __str__(self) -> str:
        return f"{self.key}={','.join(self.values)}"


Dimension: TypeAlias = Range | Choice


def search_space(config: RunConfig, wanted: Sequence[str] = (), fixed: Sequence[str] = ()) -> tuple[Dimension, ...]:
    """What is tried: the default space without what is fixed, and what was asked for in its place or beside it.

    Args:
        config: The run around which it lies.
        wanted: ``key=low:high``, ``key=low:high:log`` or ``key=a,b,c``; the section of a key may be left out.
        fixed: ``key=value`` settings that were given, whose keys are not varied.

    Raises:
        InputError: A space that cannot be read, an unknown key, a key that is fixed as well, or nothing to vary.
    """
    space = {dimension.key: dimension for dimension in default_space(config)}
    kept = {full_key(setting.partition("=")[0].strip(), config) for setting in fixed}
    space = {key: dimension for key, dimension in space.items() if key not in kept}
    asked: set[str] = set()
    for text in wanted:
        dimension = parse_dimension(text, config)
        if dimension.key in kept or dimension.key in asked:
            other = "--set fixes it" if dimension.key in kept else "it is there twice"
            raise InputError(f"--space {text}: {other}; give {dimension.key} once")
        asked.add(dimension.key)
        space[dimension.key] = dimension
    if not space:
        raise InputError(f"there is nothing to vary in {config.system}: say what with --space key=low:high or --space key=a,b")
    return tuple(space[key] for key in sorted(space))


def default_space(config: RunConfig) -> list[Dimension]:
    """The learning rate, and of the system's numbers its rates of dropping, and those of `FACTORS` that are above 0.

    Rates of dropping lie in ``0 .. 0.8``, everything else within a factor of the value that the run would have.
    """
    entry = find_entry(config.system)
    found: list[Dimension] = [] if entry.name in ANCHORS else [_around("training.lr", config.training.lr, RATE)]
    for name, value in config.model.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if name.startswith("drop") or name.endswith("dropout"):
            found.append(Range(f"model.{name}", 0.0, max(MOST_DROPPED, float(value))))
        elif name in FACTORS and value > 0:
            found.append(_around(f"model.{name}", value, FACTORS[name]))
    return found


def parse_dimension(text: str, config: RunConfig) -> Dimension:
    """A dimension as the command line spells it.

    Raises:
        InputError: It cannot be read, the key is unknown, or a range of something that is no number.
    """
    name, equals, spec = (part.strip() for part in text.partition("="))
    if not equals or not name or (":" not in spec and "," not in spec):
        raise InputError(
            "--space expects key=low:high, key=low:high:log or key=a,b,c, for example --space training.lr=0.001:0.1:log; "
            f"got '{text}'"
            + (f": one value is no space, use --set {text}" if name and spec and ":" not in spec and "," not in spec else "")
        )
    key = full_key(name, config)
    if ":" not in spec:
        return Choice(key, tuple(part.strip() for part in spec.split(",")))
    kinds = _kinds(key, config)
    if not kinds & {int, float}:
        raise InputError(f"--space {text}: {key} is no number; name what it may be, as in --space {name}=a,b")
    whole = float not in kinds
    low, high, *more = spec.split(":")
    if more not in ([], ["log"]):
        raise InputError(f"--space {text}: what may follow the two numbers is ':log'; got ':{':'.join(more)}'")
    try:
        least, largest = (int(end) if whole else float(end) for end in (low, high))
    except ValueError:
        kind = "whole numbers" if whole else "numbers"
        raise InputError(f"--space {text}: {key} takes {kind}; got '{low}' and '{high}'") from None
    return Range(key, least, largest, log=bool(more), whole=whole)


def full_key(name: str, config: RunConfig) -> str:
    """A key with its section, which may be left out where one section alone has it.

    Raises:
        InputError: Unknown, with the nearest keys.
    """
    sections: Mapping[str, Mapping[str, Any]] = {"model": config.model, "training": asdict(config.training)}
    known = [f"{section}.{key}" for section, keys in sections.items() for key in keys]
    holders = [name] if name in known else [key for key in known if key.partition(".")[2] == name]
    if len(holders) != 1:
        raise unknown_name("key", name, known if "." in name else [*known, *(key.partition(".")[2] for key in known)])
    return holders[0]


def _around(key: str, value: float, factor: float) -> Range:
    if isinstance(value, int):
        return Range(key, max(1, round(value / factor)), max(2, round(value * factor)), log=True, whole=True)
    return Range(key, float(f"{value / factor:.3g}"), float(f"{value * factor:.3g}"), log=True)


def _kinds(key: str, config: RunConfig) -> set[Any]:
    """The types that a key may have, by its annotation."""
    section, _, name = key.partition(".")
    owner: Any = TrainingConfig if section == "training" else find_entry(config.system).load().__init__
    hint = get_type_hints(owner)[name]
    return set(get_args(hint)) if get_origin(hint) in (Union, UnionType) else {hint}
