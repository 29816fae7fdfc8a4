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


def last_frame(act, epochs=4, before=0):
    """What a bar shows in the end, without colours, so that only the part that is done is drawn."""
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=120)
    with EpochProgress(epochs, "seed 0", console=console) as progress:
        progress.on_fit_start([{}] * before)
        act(progress)
    return console.file.getvalue().split("\x1b[2K")[-1].splitlines()[0]


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


@pytest.mark.parametrize(
    ("seconds", "pace"),
    [
        (0.25, "4.0 epochs/s"), (1, "1.0 epochs/s"), (1.001, "1.0 s/epoch"), (1.28, "1.3 s/epoch"), (9.94, "9.9 s/epoch"),
        (9.96, "10 s/epoch"), (23, "23 s/epoch"), (4000, "4000 s/epoch"),
    ],
)  # fmt: skip
def test_epochs_of_more_than_a_second_are_told_in_seconds(clock, seconds, pace):
    def one(progress):
        clock(seconds)
        progress.on_epoch_end(0, {"loss": 1.0})

    assert f" {pace} " in last_frame(one)
    console = plain()
    with EpochProgress(4, "seed 0", console=console, every=5) as progress:
        one(progress)
    assert lines(console) == [f"seed 0: epoch 1/4, {pace}, {3 * seconds:.0f} s to go, loss 1.0000"]


def test_within_a_long_epoch_the_bar_moves_and_says_at_which_step_it_is(clock):
    def some_of_the_second_epoch(count):
        def act(progress):
            clock(20)
            progress.on_epoch_end(0, {"loss": 0.5})
            for call in range(count):
                clock(1)
                progress.on_call_end(1, call + 1, 20)

        return last_frame(act)

    none, half, whole = (some_of_the_second_epoch(count) for count in (0, 10, 20))
    assert " 1/4 20 s/epoch " in none
    assert " 1/4 20 s/epoch " in half, "the part of an epoch counts for the pace"
    assert "loss 0.5000 step 10/20" in half
    assert "step" not in none
    assert [frame.count("━") for frame in (none, half, whole)] == [10, 15, 20]


def test_the_first_epoch_has_a_pace_before_its_end_and_one_that_goes_on_has_it_from_where_it_began(clock):
    def act(progress):
        clock(10)
        progress.on_call_end(progress._before, 1, 4)

    assert " 0/4 40 s/epoch " in last_frame(act)
    assert " 2/4 40 s/epoch " in last_frame(act, before=2)


def test_where_the_number_of_steps_is_unknown_the_step_is_counted_and_the_bar_waits(clock):
    def act(progress):
        clock(10)
        progress.on_call_end(0, 7, 0)

    frame = last_frame(act)
    assert "step 7" in frame
    assert "step 7/" not in frame
    assert "epoch" not in frame
    assert "━" not in frame


def test_more_steps_than_were_expected_do_not_lead_into_the_next_epoch(clock):
    def act(progress):
        clock(10)
        progress.on_call_end(0, 9, 4)

    assert last_frame(act).count("━") == 10


def test_short_epochs_and_single_steps_say_nothing_of_steps(clock):
    def quick(progress):
        for epoch in range(2):
            for call in range(4):
                clock(0.05)
                progress.on_call_end(epoch, call + 1, 4)
            progress.on_epoch_end(epoch, {"loss": 1.0})
        progress.on_call_end(2, 1, 4)

    def single(progress):
        clock(30)
        progress.on_call_end(0, 1, 1)

    assert "step" not in last_frame(quick)
    assert "step" not in last_frame(single)


def test_plain_lines_are_for_whole_epochs(clock):
    console = plain()
    with EpochProgress(4, "seed 0", console=console, every=5) as progress:
        progress.on_fit_start([])
        for call in range(100):
            clock(1)
            progress.on_call_end(0, call + 1, 200)
    assert lines(console) == []
