"""The one error a caller can mend: bad arguments, bad files, unknown names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """What was given cannot be used; the message says what was expected, what came and the likely remedy.

    It is a ``ValueError``, so library users need not know it. The command line prints it as one line and
    exits with code 2; anything else is a bug and keeps its traceback.
    """


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that is not in a table, with the nearest names that are.

    Args:
        kind: What the name stands for, as a reader would say it: ``"system"``, ``"data set"``.
        name: What came.
        known: Every valid name.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names) or 'none'}"
    return InputError(f"unknown {kind} '{name}'; {hint}")
