"""Numbers and truth values that stand in a file as text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

__all__ = ["as_number", "as_numbers"]

_NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
_WHOLE = re.compile(r"\s*[+-]?\d+\s*", re.ASCII)
LONGEST_NUMBER = 300
"""Characters; what is longer is an id."""
_TRUTH = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}


def as_number(value: Any) -> int | float | None:
    """The number that a text spells (no NaN, no infinity), a number itself, or None."""
    if isinstance(value, int | float):
        return value
    if not isinstance(value, str) or len(value) > LONGEST_NUMBER or not _NUMBER.fullmatch(value):
        return None
    return int(value) if _WHOLE.fullmatch(value) else float(value)


def as_numbers(cells: Sequence[str]) -> list[Any]:
    """A column of text cells as numbers or truth values where every cell spells one, else as it stands.

    All cells are asked, and empty ones are left out of the question. A whole number stays one among others with a
    fraction.
    """
    filled = [cell for cell in cells if cell.strip()]
    if filled and all(cell in _TRUTH for cell in filled):
        return [_TRUTH.get(cell, cell) for cell in cells]
    numbers = [as_number(cell) for cell in cells]
    if filled and all(number is not None for number, cell in zip(numbers, cells, strict=True) if cell.strip()):
        return [cell if number is None else number for number, cell in zip(numbers, cells, strict=True)]
    return list(cells)
