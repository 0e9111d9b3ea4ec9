"""Checks of a column of labels: missing, mixed, too many, spelled in several ways; and the targets of a regression."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from compress.core.errors import InputError, listed, shown
from finetune.tasks.values import as_number

if TYPE_CHECKING:
    from finetune.tasks.columns import Table

__all__ = [
    "as_typed",
    "refuse_missing",
    "refuse_mixture",
    "refuse_most_different",
    "spelling_remarks",
    "targets",
]

FEW = 5
"""Values that a message lists."""
LONGEST = 500
"""Characters of a label."""
MANY = 100
"""Classes above which a classifier needs two rows of each, on average."""


def as_typed(value: Any, *, untyped: bool) -> int | float | None:
    """The number that a label is, or None; a truth value is none.

    Args:
        value: of a label.
        untyped: a text that spells a number is one.
    """
    if isinstance(value, bool) or (isinstance(value, str) and not untyped):
        return None
    return as_number(value)


def refuse_mixture(column: list[Any], numbers: list[int | float | None], table: Table) -> None:
    """Raise `InputError` where some labels are numbers and some are not, with the first of the fewer ones.

    Args:
        column: the label of each row.
        numbers: what `as_typed` says of each.
        table: says where a row stands.
    """
    words = [row for row, number in enumerate(numbers) if number is None]
    if not words or len(words) == len(column):
        return
    few = sorted(words if 2 * len(words) <= len(column) else set(range(len(column))) - set(words))
    kind = "no number" if few == words else "a number"
    raise InputError(
        f"{len(few)} of {len(column)} labels {'is' if len(few) == 1 else 'are'} {kind} among others: "
        f"{shown(column[few[0]])}, first in row {few[0]}",
        where=table.at(few[0]),
        advice="correct the cell, or list every class in `labels:` where this is one",
    )


def refuse_most_different(present: list[Any], column: list[Any], table: Table) -> None:
    """Raise `InputError` where most rows have a label of their own, as ids and texts do.

    Args:
        present: the different labels.
        column: the label of each row.
        table: the train rows, for messages.
    """
    if len(present) > MANY and 2 * len(present) > len(column):
        raise InputError(
            f"{len(present)} different labels in {len(column)} rows: these are no classes",
            given=present[:FEW],
            where=table.where,
            advice="name the column of the classes in `label:`, or say `regression: true` where it holds numbers",
        )


def spelling_remarks(table: Table) -> tuple[str, ...]:
    """Labels of train that only differ by blanks, which are one class, or by case, which are not."""
    counts = Counter(value for value in table.labels if isinstance(value, str))
    found = []
    for label in sorted({value.strip() for value in counts}):
        spelled = [value for value in counts if value.strip() == label]
        if len(spelled) > 1:
            odd = sum(counts[value] for value in spelled if value != label)
            found.append(f"labels: {odd} rows have blanks around {shown(label)}, which were removed (in {table.name})")
    folded: dict[str, list[str]] = {}
    for label in sorted({value.strip() for value in counts}):
        folded.setdefault(label.casefold(), []).append(label)
    alike = [same for same in folded.values() if len(same) > 1]
    found += [
        f"labels: {listed(map(repr, same))} differ by their case alone and are different classes (in {table.name})"
        for same in alike[:FEW]
    ]
    return tuple(found)


def refuse_missing(column: Sequence[Any], table: Table) -> None:
    """Raise `InputError` where rows have no label (None, blanks, or NaN), or something else than one value.

    Args:
        column: the label of each row, without blanks around it.
        table: says where a row stands.
    """
    missing = [row for row, value in enumerate(column) if value is None or value == "" or _is_nan(value)]
    if missing:
        raise InputError(
            f"{len(missing)} rows have no label, first row {missing[0]}",
            where=table.at(missing[0]),
            advice="label or remove them",
        )
    for row, value in enumerate(column):
        if not isinstance(value, str | int | float):
            raise InputError(
                f"the label of row {row} is a {type(value).__name__}, {shown(value)}, and a row has one label",
                where=table.at(row),
                advice="name the column that holds one label for each row in `label:`",
            )
        if isinstance(value, str) and len(value) > LONGEST:
            raise InputError(
                f"the label of row {row} is a text of {len(value):,} characters: {shown(value)}",
                where=table.at(row),
                advice="name the column of the labels in `label:`",
            )
        if isinstance(value, str) and not value.isprintable():
            raise InputError(
                f"the label of row {row} holds a control character: {shown(value)}",
                where=table.at(row),
                advice="remove it from the data",
            )


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def targets(column: Sequence[Any], table: Table) -> np.ndarray:
    """The targets of a regression, (rows,) float32.

    Args:
        column: the label of each row; finite numbers, also written as text.
        table: says where a row stands.

    Raises:
        InputError: a label is no finite number.
    """
    numbers = [None if isinstance(value, bool) else as_number(value) for value in column]
    with np.errstate(over="ignore"):
        found = np.asarray([_float32(number) for number in numbers], dtype=np.float32)
    wrong = np.flatnonzero(~np.isfinite(found))
    if len(wrong):
        row = int(wrong[0])
        raise InputError(
            f"the label of row {row} is {shown(column[row])}, and a regression needs finite numbers "
            f"({len(wrong)} of {len(column)} rows)",
            where=table.at(row),
            advice="correct the rows, leave out `regression: true`, or name the column of the numbers in `label:`",
        )
    return found


def _float32(number: int | float | None) -> float:
    try:
        return math.nan if number is None else float(number)
    except OverflowError:
        return math.inf
