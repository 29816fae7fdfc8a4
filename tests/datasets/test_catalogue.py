import json

import pytest

from graphcl.datasets.catalogue import read_records, scan
from graphcl.errors import InputError


def test_folders_of_other_layouts_are_left_alone(bundle):
    path = bundle()
    root = path.parents[2]
    (root / "hetero" / "acm").mkdir(parents=True)
    (root / "hetero" / "acm" / "data.npz").write_bytes(b"")
    (root / "citation" / "empty").mkdir()
    (root / "citation" / "note.txt").touch()
    assert [folder.full_name for folder in scan(root)] == ["citation/mine"]
    assert scan(root / "nowhere") == []


def test_counts_come_from_headers_when_nothing_is_noted(bundle):
    (folder,) = scan(bundle().parents[2])
    assert folder.counts() == {"nodes": 4, "edges": 2, "features": 2}


def test_notes_are_read_with_care(tmp_path):
    entries = [{"domain": "citation", "name": "a", "upstream": ["u", "v"], "stats": {"nodes": 3, "odd": 1}, "files": "?"}, 7]
    (tmp_path / "graphs.json").write_text(json.dumps({"datasets": entries}))
    record = read_records(tmp_path)["citation", "a"]
    assert (record.source, record.licence, record.sha256, record.counts) == ("u; v", "not stated", None, {"nodes": 3})


@pytest.mark.parametrize(("text", "message"), [("{", "cannot be read as JSON"), ("[]", "a list called 'datasets'")])
def test_a_damaged_note_file_is_named(tmp_path, text, message):
    (tmp_path / "graphs.json").write_text(text)
    with pytest.raises(InputError, match=rf"graphs\.json: .*{message}"):
        read_records(tmp_path)
