"""The table of families says what the code does."""

from __future__ import annotations

import pytest

from tests.contracts.table import END, PAGE, rewritten, rows

pytestmark = pytest.mark.xdist_group("tables")  # what they share is dear, and made once


@pytest.mark.slow
def test_no_cell_is_empty_and_every_refusal_has_its_reason():
    for name, cells in rows().items():
        for column, (word, remark) in cells.items():
            assert word in {"stock", "yes", "no"}, (name, column)
            assert word != "no" or len(remark) > 20, f"{name}, {column}: 'no' without a reason"


@pytest.mark.slow
def test_the_page_has_the_table_as_it_is():
    text = PAGE.read_text("utf-8")
    assert END in text
    assert text == rewritten(text), "run: python -m tests.contracts.table --write"


@pytest.mark.slow
def test_every_method_is_tried_on_every_family():
    from finetune.method import Method
    from tests.contracts import tuning_table

    found = tuning_table.rows()
    for name, cells in found.items():
        assert set(cells) == set(Method.members()) - {"full"}
        for method, (word, remark) in cells.items():
            assert word in {"stock", "yes", "delta", "no"}, (name, method)
            assert word != "no" or len(remark) > 20, f"{name}, {method}: 'no' without a reason"


@pytest.mark.slow
def test_the_page_has_the_table_of_tuning_as_it_is():
    from tests.contracts import tuning_table

    text = PAGE.read_text("utf-8")
    assert tuning_table.END in text
    assert text == tuning_table.rewritten(text), "run: python -m tests.contracts.tuning_table --write"
