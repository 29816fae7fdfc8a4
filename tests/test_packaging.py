"""What is installed on a user's machine: one top-level package, everything in it, beside packages of the same names."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS = {"datasets": "graphcl.datasets", "models": "graphcl.models", "recsys": "graphcl.recsys"}


def python(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=clean | environment, capture_output=True, text=True, timeout=300, check=False
    )


def tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", pattern], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout: the file list of the source cannot be known")
    return [Path(name) for name in listed.stdout.split("\0") if name]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """An sdist of the tracked files, and the wheel that is built from that sdist alone."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in tracked("*"):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            target.symlink_to((ROOT / name).readlink())
        elif (ROOT / name).exists():
            target.write_bytes((ROOT / name).read_bytes())
    done = python("-m", "build", "--no-isolation", "--outdir", str(out), str(source), cwd=out)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.tar.gz")), next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The wheel unpacked into a folder of its own, as pip would put it into site-packages."""
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(built[1]) as wheel:
        wheel.extractall(site)
    return site


def shipped_names() -> set[str]:
    """Every source file under the name it has in the wheel."""
    names = {str(path) for path in tracked("graphcl/**") if not (ROOT / path).is_symlink()}
    for folder in ROOMS:
        names |= {f"graphcl/{path}" for path in tracked(f"{folder}/**")}
    return names


def test_every_package_of_the_tree_is_listed():
    packages = {str(Path(name).parent).replace(os.sep, ".") for name in shipped_names() if name.endswith("__init__.py")}
    assert packages == set(PROJECT["tool"]["setuptools"]["packages"])


def test_the_links_show_static_tools_what_the_mapping_shows_pip():
    for folder, package in ROOMS.items():
        assert (ROOT / package.replace(".", "/")).resolve() == ROOT / folder
        assert PROJECT["tool"]["setuptools"]["package-dir"][package] == folder


def test_the_wheel_made_from_the_sdist_holds_every_file_of_one_top_level_package(built):
    sdist, wheel = built
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == shipped_names()
    with tarfile.open(sdist) as archive:
        assert any(name.endswith("/LICENSE") for name in archive.getnames())


def test_the_installed_package_works_from_another_folder_beside_hugging_face_datasets(installed, tmp_path):
    code = (
        "import graphcl, datasets, graphcl.datasets, graphcl.recsys\n"
        "assert hasattr(datasets, 'load_dataset'), datasets\n"
        "print(graphcl.__file__); print(graphcl.datasets.load('karate').num_nodes)\n"
        "from graphcl.models.recipes import recipe_names; print(recipe_names())"
    )
    done = python("-c", code, cwd=tmp_path, PYTHONPATH=str(installed))
    assert done.returncode == 0, done.stderr
    path, nodes, recipes = done.stdout.splitlines()
    assert Path(path).is_relative_to(installed)
    assert nodes == "34"
    assert "('pamc', 'digits')" in recipes


@pytest.mark.parametrize("folder", ROOMS)
def test_a_room_imported_by_its_bare_name_says_what_it_is(folder):
    done = python("-c", f"import {folder}", cwd=ROOT)  # the root comes first on the path here
    assert done.returncode == 1
    assert f"ImportError: this folder is the package {ROOMS[folder]}" in done.stderr


def test_importing_the_package_loads_nothing_heavy(tmp_path):
    code = (
        "import sys, graphcl, graphcl.datasets, graphcl.models\n"
        "heavy = {'torch', 'pydantic', 'pandas', 'polars', 'matplotlib', 'sklearn', 'scipy', 'rich', 'typer'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = python("-c", code, cwd=tmp_path)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_version_is_said_once_in_words_and_once_in_code():
    import graphcl

    assert graphcl.__version__ == PROJECT["project"]["version"]


def test_the_tested_set_pins_everything_the_package_asks_for():
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines()}
    wanted = PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["test"]
    names = {text.split(">=")[0].split("==")[0].lower() for text in wanted}
    assert names <= pinned


def test_every_source_file_has_its_tests_at_the_mirrored_path():
    missing = []
    for folder in ("graphcl", *ROOMS):
        for path in tracked(f"{folder}/*.py"):
            if path.name != "__init__.py" and not (ROOT / path).is_symlink():
                mirror = Path("tests") / path.parent / f"test_{path.stem.lstrip('_')}.py"
                missing += [] if (ROOT / mirror).exists() else [str(mirror)]
    assert missing == []
