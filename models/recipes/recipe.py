"""Reading the recipes that ship with the package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import yaml


@dataclass(frozen=True)
class Recipe:
    """How a system is run on a data set, and what came out.

    Args:
        system: Name of the system.
        dataset: Name of the data set, or ``domain/name``.
        model: Keyword hyper-parameters of the system; its own defaults where silent.
        training: Settings of the loop; its own defaults where silent.
        protocol: ``seeds`` (a number) and ``baselines`` (yes or no); ``n_clusters`` and ``selection`` of a clustering system;
            ``protocol`` (``public`` or ``random``) and ``splits`` (a number) of a node system; of a recommender
            ``protocol`` (an id that narrows the split's own, ``lit-ratio-ngcf``), ``every`` and ``patience`` (epochs between
            two looks at validation, and looks without a gain before the end) and ``refit`` (yes or no: on validation too).
        published: Figures of the literature: metric values, as a number or as mean and std under the names of ``metrics.json``
            (``acc``, ``recall@20``), ``source``, and ``method``, ``protocol`` or ``selection`` where they are not as here.
        ours: What we measured, with the command that measured it.
    """

    system: str
    dataset: str
    model: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    protocol: Mapping[str, Any] = field(default_factory=dict)
    published: tuple[Mapping[str, Any], ...] = ()
    ours: Mapping[str, Any] = field(default_factory=dict)


def recipe_names() -> list[tuple[str, str]]:
    """``(system, dataset)`` of every recipe, sorted."""
    return sorted((recipe.system, recipe.dataset) for recipe in _all())


def find_recipe(system: str, dataset: str) -> Recipe | None:
    """The recipe of a system for a data set; ``None`` where nobody wrote one and the defaults serve."""
    return next((recipe for recipe in _all() if (recipe.system, recipe.dataset) == (system, dataset)), None)


def _all() -> list[Recipe]:
    folder = files("graphcl.models.recipes")
    texts = [entry.read_text(encoding="utf-8") for entry in folder.iterdir() if entry.name.endswith(".yaml")]
    recipes = []
    for text in texts:
        content = yaml.safe_load(text)
        content["published"] = tuple(content.get("published") or ())
        recipes.append(Recipe(**content))
    return recipes
