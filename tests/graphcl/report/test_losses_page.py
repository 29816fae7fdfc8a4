from pathlib import Path

import pytest

from graphcl.losses import LOSSES
from graphcl.report.losses_page import cost, losses_page, source

PAGE = Path(__file__).parents[3] / "docs" / "losses.md"


@pytest.mark.parametrize("name", LOSSES)
def test_every_docstring_tells_cost_and_source(name):
    entry = LOSSES[name]
    assert cost(entry).startswith("O(")
    assert cost(entry).endswith(")")
    assert "https://" in source(entry)
    assert any(year in source(entry) for year in map(str, range(2000, 2027)))


def test_the_page_has_a_row_and_a_section_for_each():
    page = losses_page()
    rows = [line for line in page.splitlines() if line.startswith("| [")]
    assert len(rows) == len(LOSSES)
    assert {row.count("|") for row in rows} == {7}
    assert [line[3:] for line in page.splitlines() if line.startswith("## ")] == list(LOSSES)
    assert "``" not in page


def test_the_page_in_the_repository_is_the_one_that_is_made():
    assert PAGE.read_text(encoding="utf-8") == losses_page(), "python -m graphcl.report.losses_page > docs/losses.md"
