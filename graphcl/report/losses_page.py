"""The page ``docs/losses.md``, made of the catalogue and its docstrings: ``python -m graphcl.report.losses_page``."""

from __future__ import annotations

import inspect
import re
import sys

from graphcl.losses import LOSSES, LossEntry

HEAD = """# Losses

Every loss takes two views, or a set of nodes, and gives one number. Most are a *link* applied to the logit of the positives
and the log-partition of the negatives, so that any estimator of `graphcl.negatives` stands in for the exact sum:
`InfoNCE(negatives=HCL())`. There are `N` instances of width `D`, a temperature `t` and a similarity `s`; `N N D` is one product
of all pairs, which is met in tiles and never held. Made by `python -m graphcl.report.losses_page > docs/losses.md`.

| name | similarity | positives | negatives | link | time |
|---|---|---|---|---|---|
"""


def losses_page() -> str:
    """The catalogue as Markdown: one table, then what each docstring says."""
    rows = "".join(_row(name, entry) for name, entry in LOSSES.items())
    return HEAD + rows + "".join(_section(name, entry) for name, entry in LOSSES.items())


def cost(entry: LossEntry) -> str:
    """What the docstring says of time, ``O(...)``."""
    found = re.search(r"[Tt]ime(?: and memory)? ``(O\(.*?\))``", " ".join(_text(entry).split()))
    return found[1] if found else ""


def source(entry: LossEntry) -> str:
    """The paragraph of the docstring that names authors, year and link, and how ours differs."""
    return next((part for part in _paragraphs(entry) if "https://" in part), "")


def _row(name: str, entry: LossEntry) -> str:
    cells = (f"[{name}](#{name})", entry.similarity, entry.positives, entry.negatives, entry.link, f"`{cost(entry)}`")
    return f"| {' | '.join(cells)} |\n"


def _section(name: str, entry: LossEntry) -> str:
    declared = [p for p in inspect.signature(entry.make).parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    parameters = ", ".join(map(_argument, declared))
    body = "\n\n".join(_paragraphs(entry)).replace("``", "`")
    return f"\n## {name}\n\n`{entry.make.__name__}({parameters})`\n\n{body}\n"


def _argument(parameter: inspect.Parameter) -> str:
    if parameter.default is parameter.empty:
        return parameter.name
    return f"{parameter.name}={getattr(parameter.default, '__name__', None) or repr(parameter.default)}"


def _paragraphs(entry: LossEntry) -> list[str]:
    """What stands before the arguments, a line a paragraph; the source starts one of its own."""
    text = re.split(r"\n\s*(?:Args|Shapes|Attributes|Raises):\n", _text(entry))[0]
    parts: list[str] = []
    for block in text.split("\n\n"):
        lines = block.splitlines()
        first = next((at for at, line in enumerate(lines) if at and re.match(r"[A-Z][^.]*\b(19|20)\d\d\b", line)), len(lines))
        parts += [" ".join(piece).strip() for piece in (lines[:first], lines[first:]) if piece]
    return parts


def _text(entry: LossEntry) -> str:
    return inspect.getdoc(entry.make) or ""


if __name__ == "__main__":
    sys.stdout.write(losses_page())
