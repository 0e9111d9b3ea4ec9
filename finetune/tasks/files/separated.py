"""Separated values. In .csv a cell may stand in quotation marks (RFC 4180); in .tsv they are text like any other."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from compress.core.errors import InputError, listed, shown
from finetune.tasks.files.columns import Columns
from finetune.tasks.files.text import lines

__all__ = ["read_csv", "read_tsv"]

Record = tuple[int, list[str]]
"""The line where it begins, and its cells."""


def read_csv(path: Path, wanted: tuple[str, ...]) -> Columns:
    """The `wanted` columns of comma-separated values, cells as text.

    Args:
        path: of the file; its first line names the columns.
        wanted: names of columns; those that are not there are left out.

    Raises:
        InputError: two columns of one name, a row with more or fewer cells, an open quotation mark; with the line.
    """
    with _long_cells():
        found = _read(path, _quoted(path), wanted)
    other = next((mark for mark in "\t;|" if len(found.names) == 1 and mark in found.names[0]), None)
    if other:
        raise InputError(
            f"the header names one column, {shown(found.names[0])}: the cells seem to be separated by {other!r}",
            where=f"{path}:1",
            advice="separate them by commas, or by tabs in a file whose name ends in .tsv",
        )
    return found


def read_tsv(path: Path, wanted: tuple[str, ...]) -> Columns:
    """The `wanted` columns of tab-separated values, cells as text, quotation marks included.

    Args:
        path: of the file; its first line names the columns.
        wanted: names of columns; those that are not there are left out.

    Raises:
        InputError: two columns of one name, or a row with more or fewer cells; with the line.
    """
    records = (
        (number, line.rstrip("\r\n").split("\t")) for number, line in enumerate(lines(path), 1) if line.strip("\r\n")
    )
    found = _read(path, records, wanted)
    quoted = sum(_looks_quoted(cell) for cells in found.values.values() for cell in cells)
    if not quoted:
        return found
    remark = f"{path.name}: {quoted:,} cells stand in quotation marks, which are text in .tsv; .csv would remove them"
    return replace(found, remarks=(remark,))


def _read(path: Path, records: Iterator[Record], wanted: tuple[str, ...]) -> Columns:
    first, header = next(records, (0, []))
    _check_header(header, f"{path}:{first}")
    places = {name: header.index(name) for name in wanted if name in header}
    values: dict[str, list[str]] = {name: [] for name in places}
    begins: list[int] = []
    for number, cells in records:
        if len(cells) != len(header):
            raise _another_count(cells, header, f"{path}:{number}")
        begins.append(number)
        for name, place in places.items():
            values[name].append(cells[place])
    return Columns(tuple(header), values, lines=begins, untyped=True)


def _quoted(path: Path) -> Iterator[Record]:
    reader, begins = csv.reader(lines(path), strict=True), 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(
                f"the row cannot be read as comma-separated values: {error}",
                where=f"{path}:{begins}" + (f" to {reader.line_num}" if reader.line_num > begins else ""),
                advice='a cell with a comma, a newline or a quotation mark stands in ", with each of its own as ""; '
                "where quotation marks are text and tabs separate, call the file .tsv",
            ) from error
        if cells:
            yield begins, cells
        begins = reader.line_num + 1


def _check_header(header: list[str], where: str) -> None:
    twice = [name for name, count in Counter(header).items() if count > 1 and name]
    if twice:
        raise InputError(
            f"two columns are called {shown(twice[0])}: columns {_places(header, twice[0])}",
            where=where,
            advice="rename one of them, or remove it",
        )


def _places(header: list[str], name: str) -> str:
    return " and ".join(str(place) for place, other in enumerate(header, 1) if other == name)


def _another_count(cells: list[str], header: list[str], where: str) -> InputError:
    longer = len(cells) > len(header)
    return InputError(
        f"the row has {len(cells)} cells, and the header names {len(header)} columns: {listed(header)}",
        where=where,
        given=cells,
        advice=(
            "put a cell that holds the separator in quotation marks (.csv), or name every column in the first line"
            if longer
            else "give every row a cell for each column, if need be an empty one"
        ),
    )


def _looks_quoted(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in cell[1:-1].replace('""', "")


@contextmanager
def _long_cells() -> Iterator[None]:
    """Within it the csv module takes cells of any length."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)
