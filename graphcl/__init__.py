"""Contrastive learning on graphs and interactions.

Importing the package loads nothing heavy: every room is imported where it is used, for example
``from graphcl.tasks import GraphClusterer`` or ``from graphcl import datasets``.
"""

__version__ = "0.1.0"
__all__ = ["__version__"]
