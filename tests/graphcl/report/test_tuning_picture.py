from __future__ import annotations

import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from graphcl.report.tuning_picture import tuning_picture
from graphcl.tasks.tune_space import Choice, Range
from graphcl.tasks.tune_study import Trial

SPACE = (Range("training.lr", 1e-3, 1.0, log=True), Choice("model.loss", ("a", "b")), Range("model.width", 1, 9, whole=True))


def trial(number, value, rate, loss="a", width=3):
    params = {"training.lr": rate, "model.loss": loss, "model.width": width}
    return Trial(number, params, value, (), 1.0, None if value is not None else "diverged")


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draws, and gives the visible axes; the picture is on disk too."""
    kept = []
    plain = Figure.savefig

    def save(figure, *arguments, **more):
        kept.append(figure)
        plain(figure, *arguments, **more)

    monkeypatch.setattr(Figure, "savefig", save)

    def draw(trials, space=SPACE):
        tuning_picture(trials, space, tmp_path / "t.png", metric="val_acc", title="x on y")
        assert imread(tmp_path / "t.png").ndim == 3
        return [axes for axes in kept[-1].axes if axes.get_visible()]

    return draw


def test_there_is_a_panel_for_the_trials_and_one_for_every_setting(drawn):
    axes = drawn([trial(0, 0.5, 0.1), trial(1, 0.4, 0.01, "b"), trial(2, 0.7, 0.5)])
    assert [one.get_xlabel() for one in axes] == ["trial", "training.lr", "model.loss", "model.width"]
    assert {one.get_ylabel() for one in axes} == {"val_acc"}
    assert [one.get_xscale() for one in axes] == ["linear", "log", "linear", "linear"]
    assert [label.get_text() for label in axes[2].get_xticklabels()] == ["a", "b"]


def test_the_line_is_the_best_so_far_and_a_failed_trial_is_a_cross(drawn):
    axes = drawn([trial(0, 0.5, 0.1), trial(1, None, 0.9), trial(2, 0.4, 0.2), trial(3, 0.7, 0.3)])
    best, crosses = axes[0].lines
    assert list(best.get_xdata()) == [0, 2, 3]
    assert list(best.get_ydata()) == [0.5, 0.5, 0.7]
    assert list(crosses.get_xdata()) == [1]
    assert list(axes[1].lines[0].get_xdata()) == [0.9]
    assert axes[1].collections[0].get_offsets().tolist() == [[0.1, 0.5], [0.2, 0.4], [0.3, 0.7]]


def test_trials_that_all_failed_are_drawn_too(drawn):
    axes = drawn([trial(0, None, 0.1)], SPACE[:1])
    assert len(axes) == 2
    assert list(axes[0].lines[0].get_xdata()) == [0]
