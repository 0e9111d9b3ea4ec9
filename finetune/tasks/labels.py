"""Label encoding: the values of a label column become class numbers, or the targets of a regression."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compress.core.errors import InputError

__all__ = ["LabelSet", "find_labels"]


@dataclass(frozen=True)
class LabelSet:
    """The label encoding of a task: value of the label column -> class number; without values for a regression.

    Attributes:
        names: of the classes, in the order of the model's outputs.
        values: what stands in the data for each class.
    """

    names: tuple[str, ...]
    values: tuple[Any, ...]
    regression: bool = False

    def numbers(self, column: Sequence[Any], *, where: str) -> np.ndarray:
        """The class number (int64) or the regression target (float32) of each row, (rows,).

        Args:
            column: the label of each row, as it stands in the data.
            where: the file or split, for messages.

        Raises:
            InputError: a label is missing, is none of the set, or is no number in a regression.
        """
        refuse_missing(column, where=where)
        if self.regression:
            return targets(column, where=where)
        known = {value: number for number, value in enumerate(self.values)}
        strange = Counter(value for value in column if value not in known)
        if strange:
            raise self._strange(strange, column, where=where)
        return np.fromiter((known[value] for value in column), dtype=np.int64, count=len(column))

    def _strange(self, strange: Counter[Any], column: Sequence[Any], *, where: str) -> InputError:
        shown = ", ".join(f"{value!r} ({count} rows)" for value, count in strange.most_common(5))
        first = next(row for row, value in enumerate(column) if value in strange)
        hidden = " (a label of -1 mostly means that the labels of this split are hidden)" if -1 in strange else ""
        return InputError(
            f"labels outside the set: {shown}, first in row {first}{hidden}",
            where=where,
            advice=f"the set is {', '.join(map(repr, self.values))}; correct the rows, or choose another split",
        )


def find_labels(
    column: Sequence[Any],
    *,
    class_names: Sequence[str] | None,
    given: Sequence[str],
    regression: bool | None,
    where: str,
) -> LabelSet:
    """The label encoding that the train split asks for: its classes, or a regression.

    Args:
        column: the labels of the train rows.
        class_names: names that the data itself carries for the numbers 0, 1, ...
        given: names that the recipe lists, in the order of the model's outputs.
        regression: what the recipe says; None decides by the column.
        where: the file, for messages.
    """
    refuse_missing(column, where=where)
    if regression is None:
        regression = not given and any(isinstance(v, float) and not v.is_integer() for v in column)
    if regression:
        targets(column, where=where)
        return LabelSet(("score",), (), regression=True)
    present = sorted(set(column), key=lambda value: (isinstance(value, str), value))
    if class_names and given and len(class_names) != len(given):
        raise InputError(
            f"`labels:` lists {len(given)} labels, and the data has {len(class_names)}: {', '.join(class_names)}",
            where=where,
            advice="list every label once, in the data's order, or leave `labels:` out",
        )
    return _named(present, given or class_names or (), named_by="the recipe" if given else "the data", where=where)


def _named(present: list[Any], names: Sequence[str], *, named_by: str, where: str) -> LabelSet:
    if len(present) < 2:
        raise InputError(
            f"all rows have one label, {present[0]!r}", where=where, advice="a classifier needs two or more"
        )
    if not names:
        return LabelSet(tuple(str(_plain(value)) for value in present), tuple(present))
    values: tuple[Any, ...] = tuple(names) if isinstance(present[0], str) else tuple(range(len(names)))
    unnamed = [value for value in present if value not in values]
    if unnamed:
        raise InputError(
            f"{named_by} lists the labels {', '.join(names)}, and train also has {', '.join(map(repr, unnamed[:5]))}",
            where=where,
            advice="list every label in `labels:`; whole numbers count from 0 in that order",
        )
    return LabelSet(tuple(names), values)


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, float) else value


def refuse_missing(column: Sequence[Any], *, where: str) -> None:
    """Raise `InputError` where rows have no label: None, an empty text, or NaN.

    Args:
        column: the label of each row.
        where: the file or split, for messages.
    """
    missing = [row for row, value in enumerate(column) if value is None or value == "" or _is_nan(value)]
    if missing:
        raise InputError(
            f"{len(missing)} rows have no label, first row {missing[0]}", where=where, advice="label or remove them"
        )


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def targets(column: Sequence[Any], *, where: str) -> np.ndarray:
    """The targets of a regression, (rows,) float32.

    Args:
        column: the label of each row; finite numbers.
        where: the file or split, for messages.

    Raises:
        InputError: a label is no finite number.
    """
    for row, value in enumerate(column):
        if isinstance(value, str | bool) or not math.isfinite(value):
            raise InputError(
                f"the label of row {row} is {value!r}, and a regression needs finite numbers",
                where=where,
                advice="leave out `regression: true`, or name the column that holds the numbers in `label:`",
            )
    return np.asarray(column, dtype=np.float32)
