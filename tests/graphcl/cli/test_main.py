from __future__ import annotations

import pytest

import graphcl
from graphcl.cli.main import app, main

HEAVY = ("torch", "pydantic", "pandas", "matplotlib", "sklearn", "scipy")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], None])
def test_help_and_import_load_nothing_heavy(shell, arguments):
    body = (
        "import graphcl"
        if arguments is None
        else f"import graphcl.cli as c\ntry: c.main({arguments!r})\nexcept SystemExit: pass"
    )
    heavy = f"print(sorted(set(sys.modules) & {set(HEAVY)!r}))"
    answer = shell(script=f"import sys\n{body}\n{heavy}")
    assert answer.code == 0, answer.err
    assert answer.out.splitlines()[-1] == "[]"


@pytest.mark.parametrize("kind", ["systems", "datasets", "recipes"])
def test_lists_are_shown_without_loading_torch(shell, kind):
    script = (
        f"import sys, graphcl.cli as c\ntry: c.main(['list', '{kind}'])\nexcept SystemExit: pass\nprint('torch' in sys.modules)"
    )
    answer = shell(script=script)
    assert answer.code == 0, answer.err
    assert answer.out.splitlines()[-1] == "False"


def test_a_warning_is_one_line_without_the_place_in_the_code_and_said_once(shell):
    body = "import warnings, graphcl.cli as c\ntry: c.main(['--version'])\nexcept SystemExit: pass\n"
    warn = "warnings.simplefilter('always')\nfor seed in range(2): warnings.warn('a part\\nbegins late')"
    answer = shell(script=body + warn)
    assert answer.code == 0
    assert answer.err == "warning: a part begins late\n"


def test_help_names_every_command_with_a_line(cli):
    answer = cli("--help")
    assert answer.code == 0
    for name in ("run", "bench", "tune", "cluster", "embed", "recommend", "list", "info"):
        assert f" {name} " in answer.out
    assert len(app.registered_commands) == 8
    assert "Start with: graphcl run" in answer.out


def test_no_argument_shows_help_and_is_no_error(cli):
    answer = cli()
    assert answer.code == 0
    assert "Usage: graphcl" in answer.out
    assert answer.err == ""


def test_version_is_shown(cli):
    answer = cli("--version")
    assert (answer.code, answer.out) == (0, f"{graphcl.__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frobnicate"], ["No such command 'frobnicate'.", "Try 'graphcl --help'"]),
        (["--frob"], ["No such option: --frob.", "Try 'graphcl --help'"]),
        (["run", "--epoch", "3"], ["No such option: --epoch", "--epochs", "Try 'graphcl run --help'"]),
        (["run", "pamc", "karate", "--epochs"], ["'--epochs' requires an argument"]),
        (["run", "pamc", "karate", "--seeds", "two"], ["'--seeds'", "valid integer", "Try 'graphcl run --help'"]),
        (["run", "a", "b", "c"], ["unexpected extra argument", "c"]),
        (["list"], ["Missing argument", "systems, datasets, losses, recipes"]),
        (["list", "foo"], ["'foo' is not one of 'systems', 'datasets', 'losses', 'recipes'."]),
        (["info", "extra"], ["unexpected extra argument"]),
    ],
)
def test_a_bad_argument_is_one_line_and_says_where_help_is(cli, arguments, words):
    answer = cli(*arguments)
    for word in words:
        assert word in answer.complaint
    assert "Value error" not in answer.complaint
    assert answer.complaint.endswith(" --help'.")
    assert answer.paths == []


def test_a_message_of_several_lines_is_printed_as_one(cli, monkeypatch):
    from graphcl.errors import InputError

    def fail(*args, **more):
        raise InputError("first\n  second")

    monkeypatch.setattr("graphcl.models.find_system", fail)
    assert cli("run").complaint == "first second"


def test_a_bug_keeps_its_traceback(monkeypatch, cli, capsys):
    def crash(*args, **more):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("graphcl.datasets.load", crash)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        main(["run", "pamc", "karate"])
    assert "error:" not in capsys.readouterr().err


def test_a_library_value_error_is_a_bug_too(monkeypatch, cli):
    def crash(*args, **more):
        raise ValueError("not ours")

    monkeypatch.setattr("graphcl.datasets.load", crash)
    with pytest.raises(ValueError, match="not ours"):
        main(["run", "pamc", "karate"])


def test_interrupting_is_one_line_and_code_130(monkeypatch, cli):
    def interrupt(*args, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr("graphcl.datasets.load", interrupt)
    answer = cli("run", "pamc", "karate")
    assert (answer.code, answer.err.strip().splitlines()[-1]) == (130, "error: stopped")


def test_training_that_diverges_is_one_line_with_a_remedy_and_code_1(cli):
    answer = cli("run", "pamc", "karate", "--set", "lr=1e30", "--epochs", 3, "--seeds", 1, "--device", "cpu", "--out", "r")
    assert answer.code == 1
    assert answer.err.splitlines()[-1].startswith("error: epoch 1: ")
    assert "try a smaller lr" in answer.err
    assert "Traceback" not in answer.err
    assert "r/metrics.json" not in answer.paths


def test_a_reader_that_has_seen_enough_is_no_error(shell):
    script = (
        "import os, subprocess, sys\n"
        "reader, writer = os.pipe(); os.close(reader)\n"
        "done = subprocess.run([sys.executable, '-m', 'graphcl', 'list', 'datasets'], stdout=writer, stderr=subprocess.PIPE)\n"
        "print(done.returncode, done.stderr)"
    )
    assert shell(script=script).out == "0 b''\n"
