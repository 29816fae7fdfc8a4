"""The front door: the ``graphcl`` command. Nothing heavy is imported before a command needs it."""

from graphcl.cli.main import main

__all__ = ["main"]
