"""`trimformer.json`: the changes that made a saved model, and its states."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compress.core.choice import import_all
from compress.core.errors import UnknownName
from compress.core.model.change import Change, Recorded, change_from_data

__all__ = ["HALF", "RECORD", "history", "read_record"]

RECORD = "trimformer.json"
HALF = "bf16"
"""Its field for the paths of linears that are stored in bf16."""


def read_record(directory: Path) -> dict[str, Any]:
    """The record of a directory that `save` wrote, or nothing where another tool wrote it."""
    path = directory / RECORD
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def history(record: Mapping[str, Any]) -> tuple[Change, ...]:
    """The changes of a record, in order. One of a kind that no installed package defines stays as it was written."""
    return tuple(_change(data) for data in record.get("changes", ()))


def _change(data: dict[str, Any]) -> Change:
    try:
        return change_from_data(data)
    except UnknownName:
        # The stage that makes this kind of change may not be imported yet.
        import_all("compress")
    try:
        return change_from_data(data)
    except UnknownName:
        return Recorded(told=data)
