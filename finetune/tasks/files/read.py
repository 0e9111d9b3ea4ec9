"""The one door to data files: the reader that the ending of a name asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from compress.core.errors import InputError, near, shown
from compress.core.files import named_path
from finetune.tasks.files.columns import Columns
from finetune.tasks.files.json_rows import read_json
from finetune.tasks.files.parquet import read_parquet
from finetune.tasks.files.separated import read_csv, read_tsv
from finetune.tasks.files.text import PACKED

__all__ = ["READERS", "is_data", "looks_like_a_path", "missing_file", "read_file", "stem"]

Reader = Callable[[Path, tuple[str, ...]], Columns]
READERS: dict[str, Reader] = {
    ".json": read_json,
    ".jsonl": read_json,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".parquet": read_parquet,
}
"""Ending of a file's name -> its reader."""


def read_file(path: Path, wanted: tuple[str, ...]) -> Columns:
    """The `wanted` columns of all rows of one file, read anew each time.

    Args:
        path: of the file.
        wanted: names of columns; those that are not there are left out.

    Raises:
        InputError: no such file, an unknown ending, or content that the ending does not promise.
    """
    path = named_path(path)
    if not path.is_file():
        raise missing_file(path)
    if ending(path) not in READERS:
        raise InputError(
            f"unknown kind of data file {shown(path.name)}", where=str(path), advice=f"one of: {', '.join(READERS)}"
        )
    if path.stat().st_size == 0:
        raise InputError("the file is empty", where=str(path))
    found = READERS[ending(path)](path, wanted)
    if any(len(column) == 0 for column in found.values.values()) or not found.names:
        raise InputError("the file has no rows", where=str(path))
    return found


def ending(path: Path) -> str:
    """`.jsonl` of `train.jsonl` and of `train.jsonl.gz`."""
    return (Path(path.stem) if path.suffix == PACKED else path).suffix.lower()


def stem(path: Path) -> str:
    """`train` of `train.jsonl.gz`."""
    name = Path(path.stem) if path.suffix == PACKED else path
    return name.stem


def is_data(path: Path) -> bool:
    return path.is_file() and ending(path) in READERS and not path.name.startswith((".", "dataset_info"))


def looks_like_a_path(text: str) -> bool:
    """Whether `text` can only be meant as a path: a hub id has no such ending and no such beginning."""
    return text.startswith(("/", "./", "../", "~")) or ending(Path(text)) in READERS


def missing_file(path: Path) -> InputError:
    """The error for a path that is not there, with what is there instead."""
    there = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else None
    if there is None:
        return InputError(f"no such directory: {path.parent}", where=str(path), advice="check the path")
    return InputError("no such file or directory", where=str(path), advice=near(path.name, there))
