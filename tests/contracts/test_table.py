"""README's table of families says what the code does."""

from __future__ import annotations

import pytest

from tests.contracts.table import BEGIN, END, README, rewritten, rows


def test_no_cell_is_empty_and_every_refusal_has_its_reason():
    for name, cells in rows().items():
        for column, (word, remark) in cells.items():
            assert word in {"stock", "yes", "no"}, (name, column)
            assert word != "no" or len(remark) > 20, f"{name}, {column}: 'no' without a reason"


def test_readme_has_the_table_as_it_is():
    if not README.is_file() or BEGIN not in README.read_text("utf-8"):
        pytest.skip("README.md has no place for the table yet")
    text = README.read_text("utf-8")
    assert END in text
    assert text == rewritten(text), "run: python -m tests.contracts.table --write"
