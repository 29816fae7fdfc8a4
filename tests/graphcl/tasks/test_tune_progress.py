from __future__ import annotations

import io

from rich.console import Console

from graphcl.tasks.tune_progress import TrialProgress
from graphcl.tasks.tune_study import Trial

GOOD = Trial(0, {"training.lr": 0.1, "model.loss": "[a]"}, 0.5, (0.5,), 2.0)
BETTER = Trial(1, {"training.lr": 0.2, "model.loss": "[b]"}, 0.75, (0.75,), 1.0)
BAD = Trial(2, {"training.lr": 9.0, "model.loss": "[a]"}, None, (), 1.0, "epoch 3: the loss is [nan]")


def shown(terminal, play):
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=200, color_system=None)
    with TrialProgress(4, "val_acc", console=console) as progress:
        play(progress)
    return file.getvalue()


def test_elsewhere_than_on_a_terminal_every_trial_is_a_line():
    def play(progress):
        progress.on_start([])
        for trial in (GOOD, BETTER, BAD):
            progress.on_trial(trial)

    assert shown(False, play).splitlines() == [
        "trial 0 (1/4): val_acc 0.5000, 2.0 s; best 0.5000 (trial 0); lr 0.1, loss [a]",
        "trial 1 (2/4): val_acc 0.7500, 1.0 s; best 0.7500 (trial 1); lr 0.2, loss [b]",
        "trial 2 (3/4) failed: epoch 3: the loss is [nan]; lr 9.0, loss [a]",
    ]


def test_what_earlier_sittings_left_is_told_and_remembered():
    def play(progress):
        progress.on_start([GOOD, BETTER])
        progress.on_trial(Trial(2, {"training.lr": 0.3}, 0.25, (0.25,), 1.0))

    lines = shown(False, play).splitlines()
    assert lines[0] == "going on after 2 trials; best 0.7500 (trial 1)"
    assert "best 0.7500 (trial 1)" in lines[1]
    assert shown(False, lambda progress: progress.on_start([BAD])) == "going on after 1 trials; all of them failed\n"


def test_of_equals_the_first_is_the_best():
    def play(progress):
        progress.on_start([GOOD])
        progress.on_trial(Trial(1, {}, 0.5, (0.5,), 1.0))

    assert "best 0.5000 (trial 0)" in shown(False, play).splitlines()[1]


def test_on_a_terminal_there_is_a_bar_and_a_line_for_failures_alone():
    def play(progress):
        progress.on_start([GOOD])
        progress.on_trial(BETTER)
        progress.on_trial(BAD)

    text = shown(True, play)
    assert "trial 2 (3/4) failed: epoch 3" in text
    assert "trial 1 (2/4)" not in text
    assert "best 0.7500 (trial 1)" in text
    assert "3/4" in text
