"""Commands put together, and errors turned into one line and an exit code."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer

import graphcl
from graphcl.cli.bench import bench
from graphcl.cli.cluster import cluster
from graphcl.cli.embed import embed
from graphcl.cli.info import info
from graphcl.cli.listing import listing
from graphcl.cli.recommend import recommend
from graphcl.cli.run import run
from graphcl.cli.tune import tune
from graphcl.errors import InputError

app = typer.Typer(
    name="graphcl",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Contrastive learning on graphs: embeddings, clusters and recommendations that can be trusted.",
    epilog="Start with: graphcl run",
)
app.command("run")(run)
app.command("bench")(bench)
app.command("tune")(tune)
app.command("cluster")(cluster)
app.command("embed")(embed)
app.command("recommend")(recommend)
app.command("list")(listing)
app.command("info")(info)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(graphcl.__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Contrastive learning on graphs: embeddings, clusters and recommendations that can be trusted."""


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line; exits 2 with one line for what the user can mend, 1 when training failed, 130 on Ctrl-C."""
    warnings.formatwarning = _Warnings()
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    command = typer.main.get_command(app)
    try:
        code = command.main(args=arguments, prog_name="graphcl", standalone_mode=False)
        if code == 130:  # what typer makes of Ctrl-C
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except InputError as error:
        return _fail(str(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("stopped", 130)
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # `graphcl list datasets | head`: the reader has seen enough
            return 0
        raise
    except Exception as error:
        message = getattr(error, "format_message", None)  # typer's own complaints about options and arguments
        if message is not None:
            text = message().replace("Value error, ", "").rstrip(".")
            context = getattr(error, "ctx", None)
            return _fail(f"{text}. Try '{context.command_path if context else 'graphcl'} --help'.", 2) if text else 0
        if type(error).__name__ == "NonFiniteLossError":
            return _fail(str(error), 1)
        raise


class _Warnings:
    """Makes of a warning one line, without the place in the code, which says nothing at a terminal, and of its like nothing."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, message: Warning | str, *_: object, **__: object) -> str:
        line = f"warning: {' '.join(str(message).split())}\n"
        known = line in self._said
        self._said.add(line)
        return "" if known else line


def _fail(message: str, code: int) -> int:
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    return code
