"""`.docs/methods.md` is what the code says."""

from __future__ import annotations

from tests.contracts.methods_page import PAGE, page


def test_the_page_is_as_the_code_has_it():
    assert PAGE.read_text("utf-8") == page(), "run: python -m tests.contracts.methods_page --write"
