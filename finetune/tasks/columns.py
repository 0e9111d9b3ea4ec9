"""The text and label columns of one split of a data set, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from compress.core.errors import InputError, listed, near, shown
from compress.core.files import named_path
from compress.core.names import close_names
from finetune.tasks.files.columns import Columns
from finetune.tasks.long_texts import LONGEST_WORD, longest_word
from finetune.tasks.source import Source
from finetune.tasks.values import as_numbers

__all__ = ["Table", "read_table", "split_names"]

RESERVED = ("row_id", "part")
FILE_JOIN = "+"


@dataclass(frozen=True, eq=False)
class Table:
    """The checked columns of one split.

    Attributes:
        name: of the split; the stem of its file.
        where: the file, or the source and split, for messages.
        texts: one list for each text column.
        labels: the label column, as it stands in the data; numbers where every cell of a text file is one.
        class_names: names that the data carries for the numbers 0, 1, ..., if it does.
        lines: (rows,) the line of the file where each row begins; None where rows are no lines.
        untyped: nothing but the cells says whether a label is a number.
        remarks: what a reader of the report should know of the file.
    """

    name: str
    where: str
    texts: tuple[list[str], ...]
    labels: list[Any]
    class_names: tuple[str, ...] | None = None
    lines: Sequence[int] | None = None
    untyped: bool = False
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, row: int) -> str:
        """Where a row stands, for messages: `file:line`, or the split and the row's number, from 0."""
        return f"{self.where}:{self.lines[row]}" if self.lines is not None else f"{self.where}, row {row}"


def split_names(spec: str) -> list[str]:
    """`validation+test` -> both names; a path that exists is one name, whatever it holds."""
    return [spec] if named_path(spec).exists() else [name.strip() for name in spec.split(FILE_JOIN)]


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
    _check_names(text, label)
    read, name, where = _open(source, split, (*text, label))
    for column in (*text, label):
        require_column(column, read.names, where=where)
    labels = read.values[label]
    if len(labels) == 0:
        raise InputError("the split has no rows", where=where, advice="choose another split, or fill the file")
    table = Table(
        name,
        where,
        tuple(read.values[column] for column in text),
        as_numbers(labels) if read.untyped else labels,
        class_names=read.class_names.get(label),
        lines=read.lines,
        untyped=read.untyped,
        remarks=read.remarks,
    )
    for column, values in zip(text, table.texts, strict=True):
        check_texts(values, column=column, table=table)
    return table


def _open(source: Source | None, split: str, wanted: tuple[str, ...]) -> tuple[Columns, str, str]:
    from finetune.tasks.files.read import looks_like_a_path, read_file, stem

    path = named_path(split)
    if (source is None or split not in source.splits()) and (path.is_file() or looks_like_a_path(split)):
        return read_file(path, wanted), stem(path), split
    if source is None:
        raise InputError(
            f"no data for the split {split!r}",
            where="task.data",
            advice="name `data:`, or give the path of a file here",
        )
    names = source.splits()
    if split not in names:
        raise missing_split(split, names, where=source.describe())
    return source.read(split, wanted), split, source.place(split)


def missing_split(split: str, names: tuple[str, ...], *, where: str) -> InputError:
    """The error of a split that a data set does not have, with the nearest name that it has.

    Args:
        split: the name that was given.
        names: of the splits that are there.
        where: the data set, for the message.
    """
    hint = f"; {near(split, names)}" if close_names(split, names) else ""
    return InputError(
        f"no split {split!r}", where=where, advice=f"there is: {listed(names)}{hint} (or give the path of a file)"
    )


def _check_names(text: tuple[str, ...], label: str) -> None:
    """Raise `InputError` where the columns that are named cannot be told apart."""
    if label in text:
        raise InputError(
            f"the column {label!r} is named as text and as label", where="task.text", advice="name another in `label:`"
        )
    if "label" in text:
        raise InputError(
            "a text column cannot be called 'label': trimformer puts the labels under that name",
            where="task.text",
            advice="rename it in the data",
        )


def require_column(column: str, there: Sequence[str], *, where: str) -> None:
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
        hint = f"; {near(column, there)}" if close_names(column, there) else ""
        raise InputError(f"no column {column!r}", where=where, advice=f"columns: {listed(there)}{hint}")


def check_texts(values: list[Any], *, column: str, table: Table) -> None:
    """Raise `InputError` at the first value that is no text, or a text that no tokenizer can read.

    Args:
        values: of the column, one for each row.
        column: its name, for messages.
        table: says where a row stands.
    """
    wrong = next((row for row, value in enumerate(values) if not isinstance(value, str)), None)
    if wrong is None:
        return _check_characters(values, column=column, table=table)
    if values[wrong] is None:
        count = sum(value is None for value in values)
        raise InputError(
            f"column {column!r}: {count} rows have no text, first row {wrong}",
            where=table.at(wrong),
            advice="remove them",
        )
    raise InputError(
        f"column {column!r} holds {type(values[wrong]).__name__}, not text",
        where=table.at(wrong),
        given=values[wrong],
        advice="name the column of the text in `text:`",
    )


def _check_characters(values: list[str], *, column: str, table: Table) -> None:
    for row, value in enumerate(values):
        if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            what = "half a surrogate pair, which is no character"
        elif "\0" in value:
            what = "a NUL character"
        elif len(value) > LONGEST_WORD and (length := longest_word(value)) > LONGEST_WORD:
            what = f"a word of {length:,} characters"
        else:
            continue
        raise InputError(
            f"column {column!r}: the text holds {what}",
            where=table.at(row),
            given=shown(value),
            advice="remove it from the data",
        )
