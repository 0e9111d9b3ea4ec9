"""`trimformer.json`: the changes that made a saved model, and its states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from compress.core.checkpoint.guard import guarded, read_object
from compress.core.choice import import_all
from compress.core.errors import InputError, UnknownName
from compress.core.model.change import Change, Recorded, change_from_data

__all__ = ["HALF", "RECORD", "history", "read_record"]

RECORD = "trimformer.json"
HALF = "bf16"
"""Its field for the paths of linears that are stored in bf16."""


def read_record(directory: Path) -> dict[str, Any]:
    """The record of a directory that `save` wrote, or nothing where another tool wrote it.

    Raises:
        InputError: it is damaged.
    """
    path = directory / RECORD
    record = read_object(path) if path.is_file() else {}
    if path.is_file() and not isinstance(record.get("format"), int):
        raise InputError("the record has no 'format': it is damaged", where=str(path))
    for field, (told, fits) in FIELDS.items():
        if field in record and not fits(record[field]):
            raise InputError(f"{field!r} of the record is not {told}", given=record[field], where=str(path))
    return record


def history(record: Mapping[str, Any]) -> tuple[Change, ...]:
    """The changes of a record, in order. One of a kind that no installed package defines stays as it was written."""
    return tuple(_change(data) for data in record.get("changes", ()))


def _change(data: dict[str, Any]) -> Change:
    with guarded("a change in the model's record cannot be read", given=data.get("kind")):
        try:
            return change_from_data(data)
        except UnknownName:
            # The stage that makes this kind of change may not be imported yet.
            import_all("compress")
        try:
            return change_from_data(data)
        except UnknownName:
            return Recorded(told=data)


def _names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _changes(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(c, dict) and isinstance(c.get("kind"), str) for c in value)


def _shapes(value: object) -> bool:
    return isinstance(value, dict) and all(_shape(shape) for shape in value.values())


def _shape(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in value)


FIELDS: Mapping[str, tuple[str, Callable[[object], bool]]] = {
    "changes": ("a list of changes with their kinds", _changes),
    "states": ("a list of names", _names),
    "masks": ("an object of shapes", _shapes),
    "fresh": ("a list of names", _names),
    HALF: ("a list of paths", _names),
}
