import hashlib
import io
import subprocess
import sys
import threading

import pytest
from rich.console import Console

from graphcl.datasets.download import fetch, offline
from graphcl.errors import InputError

CONTENT = bytes(range(256)) * 5000
SHA = hashlib.sha256(CONTENT).hexdigest()


def below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_file_arrives_whole_and_one_line_says_from_where(server, tmp_path):
    url = server.put("a/file.bin", CONTENT)
    path = tmp_path / "new" / "file.bin"
    console = Console(file=io.StringIO(), width=40)
    assert fetch(url, path, sha256=SHA, console=console) == SHA
    assert path.read_bytes() == CONTENT
    assert console.file.getvalue() == f"fetching {url} to {path.parent}\n"
    assert below(tmp_path) == ["new/file.bin"]


def test_on_a_terminal_a_bar_shows_the_bytes(server, tmp_path):
    server.slow.add("file.bin")
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    fetch(server.put("file.bin", CONTENT), tmp_path / "file.bin", console=console)
    assert "1.3/1.3 MB" in console.file.getvalue()


def test_a_body_of_unsaid_length_is_taken(server, tmp_path):
    server.chunked.add("file.bin")
    assert fetch(server.put("file.bin", CONTENT), tmp_path / "file.bin") == SHA


def test_a_truncated_transfer_leaves_nothing_and_the_next_attempt_starts_clean(server, tmp_path):
    url = server.put("file.bin", CONTENT)
    server.withheld["file.bin"] = 1000
    with pytest.raises(InputError, match=r"file\.bin: the transfer was cut short after [\d,]+ of 1,280,000 bytes.*try again"):
        fetch(url, tmp_path / "file.bin")
    assert below(tmp_path) == []
    server.withheld.clear()
    assert fetch(url, tmp_path / "file.bin") == SHA
    assert server.asked["file.bin"] == 2


def test_corrupted_bytes_leave_nothing(server, tmp_path):
    url = server.put("file.bin", CONTENT[:-1] + b"?")
    with pytest.raises(InputError, match=rf"expected sha256 {SHA[:12]}, got [0-9a-f]{{12}}; .*put the file at .*file\.bin by"):
        fetch(url, tmp_path / "file.bin", sha256=SHA)
    assert below(tmp_path) == []


def test_a_failed_attempt_leaves_the_file_that_was_there(server, tmp_path):
    (tmp_path / "file.bin").write_bytes(b"old")
    with pytest.raises(InputError, match="expected sha256"):
        fetch(server.put("file.bin", b"new"), tmp_path / "file.bin", sha256=SHA)
    assert (tmp_path / "file.bin").read_bytes() == b"old"


def test_a_missing_page_and_a_missing_server_are_one_line_each(server, tmp_path):
    with pytest.raises(InputError, match=r"none\.bin: the server answers 404 Not Found; .*by hand") as caught:
        fetch(f"{server.url}/none.bin", tmp_path / "x" / "none.bin")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"^http://127\.0\.0\.1:9/f: cannot be fetched \(.*refused.*\); .*by hand$") as caught:
        fetch("http://127.0.0.1:9/f", tmp_path / "x" / "f")
    assert "object at" not in str(caught.value)
    with pytest.raises(InputError, match="cannot be fetched"):
        fetch("nowhere/f", tmp_path / "x" / "f")
    assert not (tmp_path / "x").exists()


def test_a_server_that_falls_silent_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr("graphcl.datasets.download.TIMEOUT", (1.0, 0.005))
    server.slow.add("file.bin")
    with pytest.raises(InputError, match=r"cannot be fetched \(.*[Rr]ead timed out"):
        fetch(server.put("file.bin", CONTENT), tmp_path / "file.bin")
    assert below(tmp_path) == []


@pytest.mark.parametrize(("value", "meant"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_offline_is_a_variable(monkeypatch, value, meant):
    monkeypatch.setenv("GRAPHCL_OFFLINE", value)
    assert offline() is meant


def test_offline_asks_nobody(server, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHCL_OFFLINE", "1")
    with pytest.raises(InputError, match="GRAPHCL_OFFLINE forbids downloads; unset it, or put the file at"):
        fetch(server.put("file.bin", CONTENT), tmp_path / "file.bin")
    assert not server.asked


def test_a_folder_that_cannot_be_written_is_said(server, tmp_path):
    (tmp_path / "taken").touch()
    with pytest.raises(InputError, match=r"taken/file\.bin: cannot be written \(.*\); make room, or choose another folder"):
        fetch(server.put("file.bin", CONTENT), tmp_path / "taken" / "file.bin")


def test_a_disk_that_fills_up_keeps_nothing(server, tmp_path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
    try:
        with pytest.raises(InputError, match=r"cannot be written \(File too large\)"):
            fetch(server.put("file.bin", CONTENT), tmp_path / "file.bin")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert below(tmp_path) == []


def test_processes_that_fetch_the_same_file_do_not_meet(server, tmp_path):
    server.slow.add("file.bin")
    url = server.put("file.bin", CONTENT)
    code = f"from pathlib import Path; from graphcl.datasets.download import fetch; fetch({url!r}, Path('file.bin'))"
    started = [subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path) for _ in range(2)]
    here = [threading.Thread(target=fetch, args=(url, tmp_path / "file.bin"), kwargs={"sha256": SHA}) for _ in range(3)]
    for thread in here:
        thread.start()
    for thread in here:
        thread.join()
    assert [process.wait(60) for process in started] == [0, 0]
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert below(tmp_path) == ["file.bin"]
