"""Encoders, systems by family, and the recipes that train them."""

if __name__ == "models":
    raise ImportError("this folder is the package graphcl.models: install graphcl and `import graphcl.models`")

from graphcl.models.registry import SYSTEMS, SystemEntry, find_system

__all__ = ["SYSTEMS", "SystemEntry", "find_system"]
