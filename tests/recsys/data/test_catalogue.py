import json

import pytest

from graphcl.errors import InputError
from graphcl.recsys.data.catalogue import scan


def test_folders_are_found_by_what_lies_in_them(write, tmp_path):
    for name in ("recsys/b/train.npz", "recsys/b/test.npz", "recsys/b/raw/x.txt", "recsys/a/raw/A.txt", "recsys/c/train.npz"):
        write(name, "")
    write("recsys/d/raw/1.txt", "")
    write("recsys/d/raw/2.txt", "")
    write("recsys/a/meta.json", json.dumps({"n_users": 3, "interactions": 9, "source": "somewhere", "terms": "free"}))
    first, second = scan(tmp_path)
    assert (first.name, first.kind, list(first.files)) == ("a", "sequences", ["all"])
    assert (second.name, second.kind, list(second.files)) == ("b", "split", ["train", "test"])
    assert first.counts() == {"users": 3, "interactions": 9}
    assert (first.source, first.licence, second.source) == ("somewhere", "free", "not stated")
    assert scan(tmp_path / "nowhere") == []


def test_a_file_that_is_not_the_one_described_is_refused(write, tmp_path):
    write("recsys/a/raw/A.txt", "1 2\n")
    (folder,) = scan(tmp_path)
    digest = folder.check_files()
    notes = {"datasets": [{"name": "a", "files": [{"path": "recsys/a/raw/A.txt", "sha256": digest}, {"path": "recsys/a/no"}]}]}
    write("recsys.json", json.dumps(notes))
    (folder,) = scan(tmp_path)
    write("recsys/a/raw/A.txt", "1 3\n")
    with pytest.raises(InputError, match=r"A.txt: expected sha256 .* as recsys.json says, got .*; the file is damaged"):
        folder.check_files()


@pytest.mark.parametrize("name", ["recsys.json", "recsys/a/meta.json"])
@pytest.mark.parametrize("text", ["{", "[1]"])
def test_damaged_notes_are_refused(write, tmp_path, name, text):
    write("recsys/a/raw/A.txt", "1 2\n")
    path = write(name, text)
    with pytest.raises(InputError, match=f"{path}: (cannot be read as JSON|expected a JSON object)"):
        scan(tmp_path)
    write("recsys.json", "{}")
    with pytest.raises(InputError, match="a list called 'datasets'"):
        scan(tmp_path)
