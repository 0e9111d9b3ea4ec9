"""The columns that were read of one table, and where each row stands in its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Columns"]


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns of a table that were asked for.

    Attributes:
        names: of all columns that are there.
        values: name -> (rows,) values, of the columns that were asked for and are there.
        class_names: name -> what the data itself calls the numbers 0, 1, ...
        lines: (rows,) the line of the file where each row begins, from 1; None where rows are no lines.
        untyped: cells are text, and whether a column holds numbers is seen by all of them.
        remarks: what a reader of the report should know of the file.
    """

    names: tuple[str, ...]
    values: Mapping[str, list[Any]]
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lines: Sequence[int] | None = None
    untyped: bool = False
    remarks: tuple[str, ...] = ()
