from __future__ import annotations

import os
import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest

from graphcl.report import embedding_map, k_curves, loss_curve, pictures


def pixels(path):
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    image = matplotlib.image.imread(path)
    assert image.ndim == 3
    assert 400 <= image.shape[0] <= 1200
    assert 600 <= image.shape[1] <= 2000
    assert path.stat().st_size < 2_000_000
    assert image[..., :3].std() > 0.01, "an empty picture"
    return image


def points(n, d, clusters, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % clusters
    return (rng.normal(size=(clusters, d))[labels] * 3 + rng.normal(size=(n, d))).astype(np.float32), labels


@pytest.mark.parametrize(
    ("n", "d", "clusters"), [(60, 8, 3), (60, 1, 2), (60, 2, 1), (90, 5, 30), (1, 4, 1), (2, 1, 2), (11, 3, 11)]
)
def test_an_embedding_of_any_shape_is_drawn(tmp_path, n, d, clusters):
    embedding, labels = points(n, d, clusters)
    embedding_map(embedding, tmp_path / "e.png", title="pamc on x", clusters=labels)
    pixels(tmp_path / "e.png")


def test_an_embedding_that_collapsed_to_a_point_is_drawn(tmp_path):
    embedding_map(np.ones((9, 3), dtype=np.float32), tmp_path / "e.png", title="flat", clusters=np.zeros(9, dtype=int))
    pixels(tmp_path / "e.png")


def test_classes_get_a_panel_of_their_own(tmp_path):
    embedding, labels = points(60, 4, 3)
    embedding_map(embedding, tmp_path / "one.png", title="t", clusters=labels)
    embedding_map(embedding, tmp_path / "two.png", title="t", clusters=labels, classes=np.where(labels == 0, -1, labels))
    one, two = pixels(tmp_path / "one.png"), pixels(tmp_path / "two.png")
    assert two.shape[1] == pytest.approx(2 * one.shape[1], abs=2)


@pytest.mark.parametrize("known", [[], ["clusters"], ["classes"]])
def test_one_panel_is_drawn_for_what_is_known_or_for_nothing_known(tmp_path, monkeypatch, known):
    figures = []
    monkeypatch.setattr(pictures, "_save", lambda figure, path: figures.append(figure))
    embedding, labels = points(9, 4, 3)
    embedding_map(embedding, tmp_path / "e.png", title="t", **dict.fromkeys(known, labels))
    (axes,) = figures[0].axes
    assert axes.get_title() == "".join(known)
    assert len(axes.collections[0].get_offsets()) == 9
    assert (axes.get_legend() is None) == (not known)


def test_a_class_of_minus_one_reads_none(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(pictures, "_save", lambda figure, path: figures.append(figure))
    embedding, labels = points(9, 4, 3)
    embedding_map(embedding, tmp_path / "e.png", title="t", clusters=labels, classes=labels - 1)
    legends = [[text.get_text() for text in axes.get_legend().get_texts()] for axes in figures[0].axes]
    assert legends == [["0", "1", "2"], ["none", "0", "1"]]
    colours = [[handle.get_color() for handle in axes.get_legend().legend_handles] for axes in figures[0].axes]
    assert all(len({tuple(colour) for colour in row}) == 3 for row in colours)


def test_of_more_than_twenty_thousand_nodes_a_fixed_choice_is_drawn(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(pictures, "_scatter", lambda axes, where, colours: drawn.append((where, colours)))
    embedding, labels = points(20_500, 3, 4)
    for seed in (0, 0, 1):
        embedding_map(embedding, tmp_path / "e.png", title="t", clusters=labels, classes=labels, seed=seed)
    assert all(len(where) == len(colours) == pictures.POINTS for where, colours in drawn)
    assert np.array_equal(drawn[0][1], drawn[1][1]), "classes are those of the nodes drawn"
    assert np.array_equal(drawn[0][0], drawn[2][0])
    assert not np.array_equal(drawn[0][0], drawn[4][0])


def test_many_points_still_make_a_valid_picture_of_modest_size(tmp_path):
    embedding, labels = points(20_500, 3, 4)
    embedding_map(embedding, tmp_path / "e.png", title="t", clusters=labels)
    pixels(tmp_path / "e.png")


@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("epochs", [1, 20])
def test_the_loss_is_drawn_with_and_without_changes_of_cluster(tmp_path, changed, epochs):
    history = [
        {"epoch": e, "loss": 1 / (e + 1), **({"changed": 0.5, "self_training": 0.1} if changed and e else {})}
        for e in range(epochs)
    ]
    loss_curve(history, tmp_path / "l.png", title="pamc on x")
    pixels(tmp_path / "l.png")


def test_every_term_has_a_line_and_changes_have_an_axis_of_their_own(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(pictures, "_save", lambda figure, path: figures.append(figure))
    history = [
        {"epoch": 0, "loss": 3.0, "contrast": 2.0},
        {"epoch": 1, "loss": 2.0, "contrast": 1.0, "changed": 0.25, "late": 4.0},
    ]
    loss_curve(history, tmp_path / "l.png", title="t")
    left, right = figures[0].axes
    assert {line.get_label(): list(line.get_ydata()) for line in left.lines} == {
        "loss": [3, 2],
        "contrast": [2, 1],
        "late": [4],
    }
    assert [list(line.get_ydata()) for line in right.lines] == [[0.25]]
    assert right.get_ylim()[0] == 0


def test_principal_components_are_those_of_the_largest_variance():
    x = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32) * np.array([1, 10, 3], dtype=np.float32)
    where, share = pictures._principal(x)
    variance = x.var(0)
    assert share == pytest.approx(np.sort(variance)[::-1][:2] / variance.sum(), rel=0.05)
    assert abs(np.corrcoef(where[:, 0], x[:, 1])[0, 1]) > 0.99


def test_pictures_open_no_window_and_leave_pyplot_alone(tmp_path):
    script = (
        "import sys; from pathlib import Path; import numpy as np; from graphcl.report import pictures\n"
        "pictures.embedding_map(np.eye(4, dtype=np.float32), Path(sys.argv[1]) / 'e.png', title='t', clusters=np.arange(4))\n"
        "pictures.loss_curve([{'epoch': 0, 'loss': 1.0}], Path(sys.argv[1]) / 'l.png', title='t')\n"
        "assert 'matplotlib.pyplot' not in sys.modules and 'tkinter' not in sys.modules\n"
    )
    environment = {**os.environ, "MPLBACKEND": "TkAgg"}
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.png", "l.png"]


def test_what_speaks_for_each_number_of_clusters_is_drawn_with_the_choice_marked(tmp_path, monkeypatch):
    values = {"modularity": [0.1, 0.4, 0.3], "stability": [float("nan")] * 3, "combined": [0.0, 1.0, 0.5]}
    k_curves([2, 3, 5], values, tmp_path / "k.png", chosen=3, title="clusters of x")
    pixels(tmp_path / "k.png")
    figures = []
    monkeypatch.setattr(pictures, "_save", lambda figure, path: figures.append(figure))
    k_curves([2, 3, 5], values, tmp_path / "k.png", chosen=3, title="clusters of x")
    (axes,) = figures[0].axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert list(lines) == ["chosen: 3", "modularity", "stability", "combined"]
    assert list(lines["chosen: 3"].get_xdata()) == [3, 3]
    assert list(lines["combined"].get_ydata()) == [0.0, 1.0, 0.5]
