from __future__ import annotations

import pytest

from graphcl.losses import LOSSES
from graphcl.models import SYSTEMS
from graphcl.models.recipes import recipe_names
from graphcl.recsys import names
from graphcl.recsys.methods import ANCHORS


def rows(answer):
    assert answer.code == 0, answer.err
    assert answer.err == ""
    return answer.out.splitlines()


def test_systems_have_a_line_each_with_task_and_description(cli):
    lines = rows(cli("list", "systems"))
    assert len(lines) == len(SYSTEMS) + len(ANCHORS)
    for line, entry in zip(lines, [*SYSTEMS.values(), *ANCHORS.values()], strict=True):
        assert line.split()[:2] == [entry.name, entry.task]
        assert line.endswith(entry.description)
        assert ("  baseline: " in line) == (entry.name in ANCHORS)


def test_data_sets_have_a_line_each_with_sizes(cli):
    lines = rows(cli("list", "datasets"))
    assert [line.split()[0] for line in lines][:3] == ["digits", "karate", "davis"]
    assert any(line.startswith("cora ") and "downloaded on first use" in line for line in lines)
    assert "1,797 nodes, 12,339 edges, 64 features, 10 classes" in lines[0]
    assert "features" not in lines[1], "a size of nought is left out"


def test_data_sets_under_a_root_are_listed_too(cli, tmp_path):
    folder = tmp_path / "root" / "citation" / "mine"
    folder.mkdir(parents=True)
    (folder / "data.npz").write_bytes(b"not read for a listing")
    lines = rows(cli("list", "datasets", "--data", tmp_path / "root"))
    assert lines[3].split()[:2] == ["mine", "citation"]


def test_interactions_are_listed_with_their_own_sizes(cli, tmp_path):
    folder = tmp_path / "root" / "recsys" / "mine"
    folder.mkdir(parents=True)
    for part in ("train", "test"):
        (folder / f"{part}.npz").write_bytes(b"not read for a listing")
    (folder / "meta.json").write_text('{"n_users": 3, "n_items": 4000, "interactions": 5}')
    lines = rows(cli("list", "datasets", "--data", tmp_path / "root"))
    assert [line.split()[:2] for line in lines[-2:]] == [["davis", "embedded"], ["mine", "recsys"]]
    assert "18 users, 14 items, 89 interactions" in lines[-2]
    assert "3 users, 4,000 items, 5 interactions" in lines[-1]
    listed = [(line.split()[0], line.split()[1]) for line in lines[-2:]]
    assert listed == [(entry.name, entry.domain) for entry in names(tmp_path / "root")], "what is listed is what loads"


def test_a_root_that_is_not_there_is_one_line(cli, tmp_path):
    assert "nothing, which does not exist" in cli("list", "datasets", "--data", "nothing").complaint.replace(
        " (given as the data root)", ""
    )


def test_losses_have_a_line_each(cli):
    lines = rows(cli("list", "losses"))
    assert [line.split()[0] for line in lines] == list(LOSSES)
    assert all(len(line.split()) > 2 for line in lines)


def test_recipes_show_the_command_that_runs_them(cli):
    lines = rows(cli("list", "recipes"))
    assert [tuple(line.split()[:2]) for line in lines] == recipe_names()
    assert all(line.endswith("graphcl run " + " ".join(line.split()[:2])) for line in lines)


@pytest.mark.parametrize("kind", ["systems", "datasets", "losses", "recipes"])
def test_columns_line_up_and_no_line_has_trailing_blanks(cli, kind):
    lines = rows(cli("list", kind))
    assert all(line == line.rstrip() for line in lines)
    first = max(len(line.split("  ")[0]) for line in lines)
    assert all(line[first : first + 2] == "  " and line[first + 2] != " " for line in lines)
