"""The text and label columns of one split of a data set, checked."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.core.errors import InputError
from finetune.tasks.source import Source

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["Table", "read_table", "split_names"]

RESERVED = ("row_id", "part")
FILE_JOIN = "+"


@dataclass(frozen=True, eq=False)
class Table:
    """The checked columns of one split.

    Attributes:
        name: of the split; the stem of its file.
        where: the file or the source and split, for messages.
        texts: one list for each text column.
        labels: the label column, as it stands in the data.
        class_names: names that the data carries for the numbers 0, 1, ..., if it does.
    """

    name: str
    where: str
    texts: tuple[list[str], ...]
    labels: list[Any]
    class_names: tuple[str, ...] | None

    def __len__(self) -> int:
        return len(self.labels)


def split_names(spec: str) -> list[str]:
    """`validation+test` -> both names; a path that exists is one name, whatever it holds."""
    return [spec] if Path(spec).expanduser().exists() else [name.strip() for name in spec.split(FILE_JOIN)]


def read_table(source: Source | None, split: str, *, text: tuple[str, ...], label: str) -> Table:
    """The text and label columns of a split.

    Args:
        source: the data set; None where every split is a file of its own.
        split: the name of a split of `source`, or the path of a file.
        text: the names of the text columns.
        label: the name of the label column.

    Raises:
        InputError: no such split or file, a missing column, no rows, a text that is missing or no text.
    """
    rows, name, where = _open(source, split)
    for column in (*text, label):
        require_column(column, rows.column_names, where=where)
    if len(rows) == 0:
        raise InputError("the split has no rows", where=where, advice="choose another split, or fill the file")
    texts = tuple(list(rows[column]) for column in text)
    for column, values in zip(text, texts, strict=True):
        check_texts(values, column=column, where=where)
    return Table(name, where, texts, list(rows[label]), _class_names(rows, label))


def _open(source: Source | None, split: str) -> tuple[Dataset, str, str]:
    from finetune.tasks.sources.local import looks_like_a_path, read_file, stem

    path = Path(split).expanduser()
    if (source is None or split not in source.splits()) and (path.is_file() or looks_like_a_path(split)):
        return read_file(path), stem(path), split
    if source is None:
        raise InputError(
            f"no data for the split {split!r}",
            where="task.data",
            advice="name `data:`, or give the path of a file here",
        )
    names = source.splits()
    if split not in names:
        raise missing_split(split, names, where=source.describe())
    return source.rows(split), split, f"{source.describe()}, split {split}"


def missing_split(split: str, names: tuple[str, ...], *, where: str) -> InputError:
    """The error of a split that a data set does not have, with the nearest name that it has.

    Args:
        split: the name that was given.
        names: of the splits that are there.
        where: the data set, for the message.
    """
    near = difflib.get_close_matches(split, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return InputError(
        f"no split {split!r}", where=where, advice=f"there is: {', '.join(names)}{hint} (or give the path of a file)"
    )


def require_column(column: str, there: list[str], *, where: str) -> None:
    """Raise `InputError` where the data have no such column, or its name is reserved.

    Args:
        column: the name that was given.
        there: the names of the columns of the data.
        where: the file or split, for messages.
    """
    if column in RESERVED:
        raise InputError(
            f"the column name {column!r} is used by trimformer", where=where, advice="rename it in the data"
        )
    if column not in there:
        near = difflib.get_close_matches(column, there, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"no column {column!r}", where=where, advice=f"columns: {', '.join(there)}{hint}")


def check_texts(values: list[Any], *, column: str, where: str) -> None:
    """Raise `InputError` at the first value that is no text.

    Args:
        values: of the column, one for each row.
        column: its name, for messages.
        where: the file or split, for messages.
    """
    wrong = next((row for row, value in enumerate(values) if not isinstance(value, str)), None)
    if wrong is None:
        return
    if values[wrong] is None:
        count = sum(value is None for value in values)
        raise InputError(
            f"column {column!r}: {count} rows have no text, first row {wrong}", where=where, advice="remove them"
        )
    raise InputError(
        f"column {column!r} holds {type(values[wrong]).__name__}, not text",
        where=where,
        given=values[wrong],
        advice="name the column of the text in `text:`",
    )


def _class_names(rows: Dataset, label: str) -> tuple[str, ...] | None:
    names = getattr(rows.features[label], "names", None)
    return tuple(names) if names else None
