"""Label encoding: the values of a label column become class numbers, or the targets of a regression."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from compress.core.errors import InputError, listed, shown
from finetune.tasks.label_column import (
    as_typed,
    refuse_missing,
    refuse_mixture,
    refuse_most_different,
    spelling_remarks,
    targets,
)
from finetune.tasks.values import as_number

if TYPE_CHECKING:
    from finetune.tasks.columns import Table

__all__ = ["LabelSet", "find_labels"]

FEW = 5
"""Values that a message lists."""


@dataclass(frozen=True)
class LabelSet:
    """The label encoding of a task: value of the label column -> class number; without values for a regression.

    Attributes:
        names: of the classes, in the order of the model's outputs.
        values: what stands in the data for each class, without blanks around it.
        regression: one number instead of a class.
        named: the names are those of the recipe or of the data, and not the values themselves.
        remarks: what a reader of the report should know of the labels.
    """

    names: tuple[str, ...]
    values: tuple[Any, ...]
    regression: bool = False
    named: bool = False
    remarks: tuple[str, ...] = ()

    @property
    def only_numbers(self) -> bool:
        """Whether nothing but numbers names the classes."""
        return not self.regression and all(as_number(name) is not None for name in self.names)

    def numbers(self, table: Table) -> np.ndarray:
        """The class number (int64) or the regression target (float32) of each row, (rows,).

        Raises:
            InputError: a label is missing, is none of the set, or is no number in a regression; with its line.
        """
        column = _stripped(table.labels)
        refuse_missing(column, table)
        if self.regression:
            return targets(column, table)
        known = {value: number for number, value in enumerate(self.values)}
        spelled = {_spelling(value): number for value, number in known.items()}
        found = [known.get(value, spelled.get(_spelling(value))) for value in column]
        strange = [row for row, number in enumerate(found) if number is None]
        if strange:
            raise self._strange(strange, column, table)
        return np.asarray(found, dtype=np.int64)

    def _strange(self, rows: list[int], column: list[Any], table: Table) -> InputError:
        counts = Counter(column[row] for row in rows)
        text = ", ".join(f"{shown(value)} ({count} rows)" for value, count in counts.most_common(FEW))
        hidden = " (a label of -1 mostly means that the labels of this split are hidden)" if -1 in counts else ""
        folded = {str(value).casefold(): value for value in self.values}
        near = next((value for value in counts if str(value).casefold() in folded), None)
        case = "" if near is None else f"; {shown(near)} is {shown(folded[str(near).casefold()])} but for its case"
        return InputError(
            f"labels outside the set: {text}, first in row {rows[0]}{hidden}{case}",
            where=table.at(rows[0]),
            advice=f"the set is {listed(map(repr, self.values))}; correct the rows, or choose another split",
        )


def find_labels(table: Table, *, given: Sequence[str], regression: bool | None) -> LabelSet:
    """The label encoding that the train split asks for: its classes, or a regression.

    Args:
        table: the train rows.
        given: names that the recipe lists, in the order of the model's outputs.
        regression: what the recipe says; None decides by the column: numbers of which one has a fraction.

    Raises:
        InputError: labels that are missing, no single values, or a mixture of numbers and words; with the line.
    """
    column, given = _stripped(table.labels), _stripped(given)
    twice = next((name for name in given if given.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"`labels:` lists {shown(twice)} twice", where="task.labels", advice="list every label once")
    refuse_missing(column, table)
    numbers = [as_typed(value, untyped=table.untyped) for value in column]
    if regression is None:
        regression = not given and any(isinstance(v, float) and not v.is_integer() for v in numbers)
    if regression:
        return LabelSet(("score",), (), regression=True)
    if not given:
        refuse_mixture(column, numbers, table)
    present = sorted(set(column), key=_order)
    refuse_most_different(present, column, table)
    class_names = table.class_names
    if class_names and given and len(class_names) != len(given):
        raise InputError(
            f"`labels:` lists {len(given)} labels, and the data has {len(class_names)}: {listed(class_names)}",
            where=table.where,
            advice="list every label once, in the data's order, or leave `labels:` out",
        )
    found = _listed(present, given, table) if given else _named(present, class_names or (), table)
    remarks = (*spelling_remarks(table), *(_unseen(found, present) if given else ()))
    return LabelSet(found.names, found.values, named=bool(given or class_names), remarks=remarks)


def _order(value: Any) -> tuple[bool, int | float, str]:
    """Numbers by their size, those that are written as text too, then words by the alphabet."""
    number = as_number(value)
    return (True, 0, str(value)) if number is None else (False, number, str(value))


def _stripped(column: Sequence[Any]) -> list[Any]:
    return [value.strip() if isinstance(value, str) else value for value in column]


def _spelling(value: Any) -> Any:
    """One for all spellings of a number."""
    number = as_number(value)
    return str(value) if number is None else _plain(number)


def _unseen(labels: LabelSet, present: list[Any]) -> tuple[str, ...]:
    """Labels of the recipe, or of the checkpoint's head, of which train has no row."""
    seen = {_spelling(value) for value in present}
    pairs = zip(labels.names, labels.values)
    names = [name for name, value in pairs if value not in present and _spelling(value) not in seen]
    if not names:
        return ()
    count = len(labels.names)
    return (f"the head has {count} labels, and train has rows of {count - len(names)}: none is {listed(names)}",)


def _named(present: list[Any], class_names: Sequence[str], table: Table) -> LabelSet:
    """The classes of the column, by the names that the data has for the numbers 0, 1, ... where it has some."""
    _refuse_one(present, table)
    if not class_names:
        return LabelSet(tuple(str(_plain(value)) for value in present), tuple(present))
    values: tuple[Any, ...] = tuple(class_names) if isinstance(present[0], str) else tuple(range(len(class_names)))
    return _checked(LabelSet(tuple(class_names), values), present, "the data", table)


def _listed(present: list[Any], given: Sequence[str], table: Table) -> LabelSet:
    """The classes that the recipe lists: by their names, else whole numbers count from 0 in that order."""
    _refuse_one(present, table)
    values: tuple[Any, ...]
    if table.class_names and set(given) == set(table.class_names):
        values = tuple(given) if isinstance(present[0], str) else tuple(map(table.class_names.index, given))
        return _checked(LabelSet(tuple(given), values), present, "the recipe", table)
    by_name = isinstance(present[0], str) or _spellings(present) <= _spellings(given)
    values = tuple(given) if by_name else tuple(range(len(given)))
    return _checked(LabelSet(tuple(given), values), present, "the recipe", table)


def _refuse_one(present: list[Any], table: Table) -> None:
    if len(present) < 2:
        raise InputError(
            f"all rows have one label, {shown(present[0])}", where=table.where, advice="a classifier needs two or more"
        )


def _checked(labels: LabelSet, present: list[Any], named_by: str, table: Table) -> LabelSet:
    unnamed = [value for value in present if _spelling(value) not in _spellings(labels.values)]
    if unnamed:
        raise InputError(
            f"{named_by} lists the labels {listed(labels.names)}, "
            f"and train also has {listed(map(repr, unnamed[:FEW]))}",
            where=table.where,
            advice="list every label in `labels:`; whole numbers count from 0 in that order",
        )
    return labels


def _spellings(values: Sequence[Any]) -> set[Any]:
    return {_spelling(value) for value in values}


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
