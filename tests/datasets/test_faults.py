import pytest

from graphcl.datasets.faults import Faults
from graphcl.errors import InputError


def test_no_fault_is_no_error_and_one_is():
    faults = Faults()
    faults.check()
    faults.add("kind", "line 3: bad")
    with pytest.raises(InputError, match="line 3: bad"):
        faults.check()


def test_the_first_of_each_kind_up_to_three_in_one_line():
    faults = Faults()
    for number in range(2):
        for kind in "abcde":
            faults.add(kind, f"{kind}{number}")
    with pytest.raises(InputError, match=r"^a0; b0; c0; and 2 more$"):
        faults.check()


def test_errors_are_gathered_and_bugs_are_not():
    faults = Faults()
    with faults.gather():
        raise InputError("bad file")
    with pytest.raises(InputError, match="bad file"):
        faults.check()
    with pytest.raises(ZeroDivisionError), faults.gather():
        _ = 1 / 0
