"""Depth of plain data: what is nested deeper than any recipe is refused before it is walked into. No torch here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from compress.core.errors import InputError

__all__ = ["DEEPEST", "check_depth", "too_deep"]

DEEPEST = 64
"""Levels of mappings and lists in a recipe."""


def check_depth(data: Any, *, file: str) -> None:
    """Raise `InputError` where plain data is nested deeper than any recipe.

    Args:
        data: mappings, lists and scalars.
        file: the name shown in messages.
    """
    level = [data]
    for _ in range(DEEPEST):
        level = [inner for part in level for inner in _parts(part)]
        if not level:
            return
    raise too_deep(file)


def too_deep(file: str) -> InputError:
    """The error for a recipe that is nested deeper.

    Args:
        file: the name shown in the message.
    """
    return InputError(f"not a recipe: nested too deeply, more than {DEEPEST} levels", where=file)


def _parts(part: Any) -> Iterable[Any]:
    if isinstance(part, dict):
        return part.values()
    return part if isinstance(part, list | tuple) else ()
