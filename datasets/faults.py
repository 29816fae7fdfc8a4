"""Gathers what is wrong with own data, so that one message says all of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from graphcl.errors import InputError

SHOWN = 3


class Faults:
    """Faults found so far, the first of each kind."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def add(self, kind: str, message: str) -> None:
        """Notes a fault, unless one of its kind is known already.

        Args:
            kind: What makes two faults the same kind, such as ``"edges: missing id"``.
            message: Where it is, what was expected and what came.
        """
        self._found.setdefault(kind, message)

    @contextmanager
    def gather(self) -> Iterator[None]:
        """Notes an ``InputError`` raised inside instead of passing it on; what follows it inside is not run."""
        try:
            yield
        except InputError as error:
            self.add(str(error), str(error))

    def check(self) -> None:
        """Raises when there is a fault.

        Raises:
            InputError: Up to three faults in one line.
        """
        if self._found:
            messages = list(self._found.values())
            more = len(messages) - SHOWN
            raise InputError("; ".join(messages[:SHOWN]) + (f"; and {more} more" if more > 0 else ""))
