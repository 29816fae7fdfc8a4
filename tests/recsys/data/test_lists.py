import gzip

import pytest

from graphcl.errors import InputError
from graphcl.recsys.data import read_lists


def test_each_line_is_a_user_and_items_in_order(write):
    events = read_lists(write("train.txt", "7 30 10\n8\n9 10 30 10 \n\n3 5"))
    assert events.users.ids.to_list() == [7, 8, 9, 3]
    assert events.items.ids.to_list() == [30, 10, 5]
    assert events.user.tolist() == [0, 0, 2, 2, 2, 3]
    assert events.item.tolist() == [0, 1, 1, 0, 1, 2]


def test_known_ids_keep_their_numbers(write):
    first = read_lists(write("a.txt", "1 10\n2 20\n"))
    second = read_lists(write("b.txt", "2 30 10\n5 20\n"), users=first.users, items=first.items)
    assert second.users.ids.to_list() == [1, 2, 5]
    assert second.user.tolist() == [1, 1, 2]
    assert second.item.tolist() == [2, 0, 1]


def test_packed_files_are_the_same(write, tmp_path):
    path = write("a.txt", "1 10\n2 20\n")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert read_lists(tmp_path / "a.txt.gz").item.tolist() == read_lists(path).item.tolist()
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(path.read_bytes())[:-9])
    with pytest.raises(InputError, match="is it damaged"):
        read_lists(tmp_path / "b.txt.gz")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2\n3 x4 5\n", r"a.txt line 2: expected whole numbers 'user item item', got 'x4'"),
        ("1 2\n\n3 -4\n", "line 3.*got '-4'"),
        ("1 2.5\n", "got '2.5'"),
        ("", "the file is empty"),
        ("1\n2\n", "at least one item after a user"),
        ("1 99999999999999999999\n", r"below 2\*\*63"),
    ],
)
def test_what_is_no_list_of_numbers_is_said_with_its_line(write, text, message):
    with pytest.raises(InputError, match=message):
        read_lists(write("a.txt", text))


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(InputError, match=r"expected a file of lists at .*, found none"):
        read_lists(tmp_path / "no.txt")
