"""Docstrings fitted to the width of a terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

__all__ = ["WIDEST", "reflowed"]

WIDEST = 160
"""Characters of a line; longer ones are hard to read."""

ITEM = re.compile(r"(?:[-*]|\d+\.) ")
SECTION = re.compile(r"[A-Z]\w*:")
CODE = (">>>", "...", "```")


def reflowed(text: str, width: int) -> str:
    """A docstring with its paragraphs and the items of its lists and sections in lines of at most `width` characters.

    Code stays as it is: a doctest, or an indented block outside a section such as `Args:`.
    """
    return "\n\n".join(_block(block, width) for block in re.split(r"\n\s*\n", text.strip("\n")))


def _block(block: str, width: int) -> str:
    lines = block.split("\n")
    if SECTION.fullmatch(lines[0]):
        return "\n".join([lines[0], *_items(lines[1:], width)])
    if lines[0].startswith((" ", *CODE)):
        return block
    return "\n".join(_items(lines, width))


def _items(lines: list[str], width: int) -> Iterator[str]:
    """Lines joined to paragraphs: one begins with each item of a list, and with each line as far out as the first."""
    if any(line.lstrip().startswith(CODE) for line in lines):
        yield from lines
        return
    for first, text in _paragraphs(lines):
        lead = " " * (len(first) - len(first.lstrip()))
        hanging = lead + " " * (len(mark.group()) if (mark := ITEM.match(first.lstrip())) else 4 if lead else 0)
        yield textwrap.fill(
            text, width, initial_indent=lead, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
        )


def _paragraphs(lines: list[str]) -> Iterator[tuple[str, str]]:
    """The first line of each, and all of it."""
    starts = [place for place, line in enumerate(lines) if place == 0 or _begins(line, lines[0])]
    for start, end in zip(starts, [*starts[1:], len(lines)]):
        yield lines[start], " ".join(line.strip() for line in lines[start:end])


def _begins(line: str, first: str) -> bool:
    indent = len(first) - len(first.lstrip())
    return bool(ITEM.match(line.lstrip())) or (indent > 0 and len(line) - len(line.lstrip()) == indent)
