"""One YAML file per system and data set: settings, protocol, the published figure with its source, and ours."""

from graphcl.models.recipes.recipe import Recipe, find_recipe, recipe_names

__all__ = ["Recipe", "find_recipe", "recipe_names"]
