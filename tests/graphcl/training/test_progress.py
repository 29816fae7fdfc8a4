from __future__ import annotations

import io

import pytest
from rich.console import Console

from graphcl.training import EpochProgress


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("graphcl.training.progress.time.monotonic", lambda: now[0])

    def tick(seconds):
        now[0] += seconds

    return tick


def lines(console):
    return console.file.getvalue().splitlines()


def plain():
    return Console(file=io.StringIO(), width=20)


def test_where_there_is_no_terminal_it_writes_plain_lines_with_rate_time_to_go_and_loss(clock):
    console = plain()
    with EpochProgress(20, "seed 3", console=console, every=5) as progress:
        for epoch in range(10):
            clock(1)
            progress.on_epoch_end(epoch, {"loss": 1.5, "other": 9})
    assert lines(console) == [
        "seed 3: epoch 5/20, 1.0 epochs/s, 15 s to go, loss 1.5000",
        "seed 3: epoch 10/20, 1.0 epochs/s, 10 s to go, loss 1.5000",
    ]


def test_the_last_epoch_is_always_written_however_fast(clock):
    console = plain()
    with EpochProgress(2, "seed 0", console=console, every=5) as progress:
        for epoch in range(2):
            clock(0.5)
            progress.on_epoch_end(epoch, {"loss": 0.25})
    assert lines(console) == ["seed 0: epoch 2/2, 2.0 epochs/s, 0 s to go, loss 0.2500"]


def test_no_time_at_all_is_no_division_by_zero(clock):
    console = plain()
    with EpochProgress(1, "seed 0", console=console) as progress:
        progress.on_epoch_end(0, {"loss": 1.0})
    assert lines(console)[0].endswith("0 s to go, loss 1.0000")


def test_on_a_terminal_it_draws_a_bar_instead(clock):
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with EpochProgress(4, "seed 0", console=console) as progress:
        progress.on_fit_start([])
        for epoch in range(4):
            clock(0.5)
            progress.on_epoch_end(epoch, {"loss": 0.125})
    text = console.file.getvalue()
    assert "━" in text
    assert "4/4" in text
    assert "2.0 epochs/s" in text
    assert "loss 0.1250" in text
    assert "to go" not in text


def test_the_bar_is_taken_down_when_the_run_fails():
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    progress = EpochProgress(4, "seed 0", console=console)
    progress.on_fit_start([])
    with pytest.raises(KeyError), progress:
        raise KeyError
    assert console.file.getvalue().count("\x1b[?25l") == console.file.getvalue().count("\x1b[?25h") == 1, "the cursor is back"


def test_it_never_asks_the_run_to_stop_and_never_writes_to_standard_output(capsys):
    with EpochProgress(1, "seed 0") as progress:
        assert progress.on_epoch_end(0, {"loss": 1.0}) is None
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "epoch 1/1" in captured.err


def test_a_run_that_stops_early_still_says_where_it_ended(clock):
    console = plain()
    with EpochProgress(100, "seed 0", console=console, every=5) as progress:
        progress.on_fit_start([])
        for epoch in range(3):
            clock(0.5)
            progress.on_epoch_end(epoch, {"loss": 0.25})
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("seed 0: epoch 3/100, ")


def test_a_run_that_goes_on_counts_its_rate_from_where_it_began(clock):
    console = plain()
    with EpochProgress(20, "seed 0", console=console, every=5) as progress:
        progress.on_fit_start([{}] * 10)
        for epoch in range(10, 15):
            clock(1)
            progress.on_epoch_end(epoch, {"loss": 1.0})
    assert lines(console) == ["seed 0: epoch 15/20, 1.0 epochs/s, 5 s to go, loss 1.0000"]
