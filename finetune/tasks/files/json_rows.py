"""JSON: one object a line, or one list of objects."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from compress.core.errors import InputError, listed, shown
from finetune.tasks.files.columns import Columns
from finetune.tasks.files.text import lines, unreadable

__all__ = ["read_json"]

Placed = tuple[int | None, Any]
"""A row with its line, where it stands on one."""


class _Twice(ValueError):
    """A key that stands twice in one object."""


def read_json(path: Path, wanted: tuple[str, ...]) -> Columns:
    """The `wanted` columns of rows of JSON; a row that lacks one has None there.

    Args:
        path: of a file with an object on each line, or with one list of objects.
        wanted: names of columns; those that no row has are left out.

    Raises:
        InputError: it is no JSON, a row is no object, or an object has two values of one name; with the line.
    """
    names: dict[str, None] = {}
    values: dict[str, list[Any]] = {name: [] for name in wanted}
    begins: list[int] = []
    for number, (line, row) in enumerate(_rows(path)):
        if not isinstance(row, dict):
            raise _no_object(row, f"{path}:{line}" if line else f"{path}, row {number}")
        names.update(dict.fromkeys(row))
        if line:
            begins.append(line)
        for name in wanted:
            values[name].append(row.get(name))
    there = {name: column for name, column in values.items() if name in names}
    _refuse_columns(there, tuple(names), path)
    return Columns(tuple(names), there, lines=begins or None)


def _rows(path: Path) -> Iterator[Placed]:
    read = ((number, line) for number, line in enumerate(lines(path), 1) if line.strip())
    first = next(read, None)
    if first is None:
        return
    if first[1].lstrip().startswith("["):
        document = _parsed(first[1] + "".join(line for _, line in read), str(path))
        yield from ((None, row) for row in (document if isinstance(document, list) else [document]))
    elif first[1].strip() == "{":  # indented: a document over many lines
        yield None, _parsed(first[1] + "".join(line for _, line in read), str(path))
    else:
        yield from _of_lines([first], path)
        yield from _of_lines(read, path)


def _of_lines(read: Iterable[tuple[int, str]], path: Path) -> Iterator[Placed]:
    for number, line in read:
        yield number, _parsed(line, f"{path}:{number}")


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except _Twice as error:
        raise InputError(
            f"one row has two values called {error}", where=where, advice="rename one of them, or remove it"
        ) from error
    except RecursionError as error:
        raise unreadable(Path(where), "it is nested too deeply", kind="json") from error
    except ValueError as error:
        raise unreadable(Path(where), str(error), kind="json") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        (name, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise _Twice(shown(name))
    return found


def _no_object(row: Any, where: str) -> InputError:
    return InputError(
        f"the row is no object: {shown(row)}",
        where=where,
        advice='a row is {"text": ..., "label": ...}, one on each line or all in one list',
    )


def _refuse_columns(values: dict[str, list[Any]], names: tuple[str, ...], path: Path) -> None:
    """Refuse one object of whole columns: nothing says which value belongs to which."""
    found = list(values.values())
    if found and all(len(column) == 1 and isinstance(column[0], list | dict) for column in found):
        raise InputError(
            f"the file holds one object of columns ({listed(names)}), not rows",
            where=str(path),
            advice="write an object for each row, as DataFrame.to_json(orient='records', lines=True) does",
        )
