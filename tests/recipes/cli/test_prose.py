"""Docstrings fitted to a terminal: paragraphs joined, lists, sections and code kept."""

import inspect
import re

import pytest
from typer.testing import CliRunner

from recipes.cli.app import app
from recipes.cli.prose import reflowed
from recipes.file.catalogue import FAMILIES, RECIPES, entries, kinds

TEXT = """The first line.

A paragraph that goes on
over two lines.

- an item that
  goes on
- another
1. a numbered one

    s = w @ x

>>> 1 + 1
2

Args:
    rank: of both factors, which is a long explanation that
        goes on.
    bits: few.

References:
    Someone et al. 2024."""

WIDE = """The first line.

A paragraph that goes on over two lines.

- an item that goes on
- another
1. a numbered one

    s = w @ x

>>> 1 + 1
2

Args:
    rank: of both factors, which is a long explanation that goes on.
    bits: few.

References:
    Someone et al. 2024."""


def test_paragraphs_are_joined_and_the_rest_keeps_its_shape():
    assert reflowed(TEXT, 200) == WIDE


def test_lines_hang_below_their_item():
    assert reflowed("- an item that goes on\n- b", 12) == "- an item\n  that goes\n  on\n- b"
    assert reflowed("Args:\n    a: some words", 14) == "Args:\n    a: some\n        words"


@pytest.mark.parametrize("width", [60, 100, 200])
def test_every_docstring_fits_and_loses_no_word(width):
    for entry in (entry for kind in kinds() if kind not in (FAMILIES, RECIPES) for entry in entries(kind)):
        text = inspect.getdoc(entry.what) or ""
        found = reflowed(text, width)
        assert re.split(r"\s+", found) == re.split(r"\s+", text), entry.name
        assert max(map(len, found.split("\n"))) <= width, entry.name


@pytest.mark.parametrize("width", ["60", "100"])
def test_list_and_help_fit_the_terminal(width):
    for command in (["list", "criteria"], ["show", "wanda"], ["run", "--help"]):
        printed = CliRunner(env={"COLUMNS": width}).invoke(app, command, terminal_width=int(width)).output
        assert max(map(len, printed.splitlines())) <= int(width)
        assert "…" not in printed
