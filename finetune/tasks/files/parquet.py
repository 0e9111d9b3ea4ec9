"""Parquet."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from compress.core.errors import InputError, shown
from finetune.tasks.files.columns import Columns
from finetune.tasks.files.text import opened, unreadable

__all__ = ["read_parquet"]


def read_parquet(path: Path, wanted: tuple[str, ...]) -> Columns:
    """The `wanted` columns of a parquet file, with the class names that `datasets` wrote beside them.

    Args:
        path: of the file.
        wanted: names of columns; those that are not there are left out.

    Raises:
        InputError: it is no parquet, or two columns have one name.
    """
    from io import BytesIO

    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    with opened(path) as raw:
        try:
            file = ParquetFile(BytesIO(raw.read()) if path.suffix == ".gz" else path)
            schema = file.schema_arrow
            _check_names(schema.names, path)
            there = [name for name in wanted if name in schema.names]
            table = file.read(columns=there)
        except ArrowException as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise unreadable(path, reason[0], kind="parquet") from error
    values = {name: table.column(name).to_pylist() for name in there}
    return Columns(tuple(schema.names), values, class_names=_class_names(schema, there))


def _check_names(names: list[str], path: Path) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"two columns are called {shown(twice[0])}", where=str(path), advice="rename one of them")


def _class_names(schema: object, columns: list[str]) -> dict[str, tuple[str, ...]]:
    from datasets import Features

    features = Features.from_arrow_schema(schema)
    found = {name: getattr(features.get(name), "names", None) for name in columns}
    return {name: tuple(names) for name, names in found.items() if names}
