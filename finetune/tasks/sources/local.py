"""Rows in files: json, jsonl, csv, tsv and parquet, also compressed as .gz."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from compress.core.errors import InputError, UnknownName
from finetune.tasks.source import Source, quiet

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["READERS", "Local", "looks_like_a_path", "read_file", "stem"]

# "NA" and "null" are words in a text; pandas would read them as missing.
_CSV = {"keep_default_na": False}
READERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".json": ("json", {}),
    ".jsonl": ("json", {}),
    ".csv": ("csv", _CSV),
    ".tsv": ("csv", {**_CSV, "sep": "\t"}),
    ".parquet": ("parquet", {}),
}
"""Ending of a file's name -> the builder of `datasets` and its settings."""


class Local(Source):
    """Files on this machine: one file (its split is its stem), or a directory of train.*, validation.*, test.*"""

    path: str = Field(description="a file, or a directory of them")

    def splits(self) -> tuple[str, ...]:
        return tuple(sorted(self._files(), key=lambda name: (name != "train", name)))

    def rows(self, split: str) -> Dataset:
        files = self._files()
        if split not in files:
            raise UnknownName("split", split, files, where=self.path)
        return read_file(files[split])

    def describe(self) -> str:
        return self.path

    def _files(self) -> dict[str, Path]:
        path = Path(self.path).expanduser()
        if not path.exists():
            raise missing_file(path)
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        found: dict[str, Path] = {}
        for file in (file for file in files if is_data(file)):
            if stem(file) in found:
                raise InputError(
                    f"two files for the split {stem(file)!r}: {found[stem(file)].name} and {file.name}",
                    where=self.path,
                    advice="name the files: `train: path`, `evaluation: path`",
                )
            found[stem(file)] = file
        if not found:
            there = ", ".join(file.name for file in files[:20]) or "nothing"
            raise InputError(
                f"no data file (there is: {there})",
                where=self.path,
                advice=f"files end in {', '.join(READERS)}, or .gz",
            )
        return found


def ending(path: Path) -> str:
    """`.jsonl` of `train.jsonl` and of `train.jsonl.gz`."""
    return (Path(path.stem) if path.suffix == ".gz" else path).suffix.lower()


def stem(path: Path) -> str:
    """`train` of `train.jsonl.gz`."""
    name = Path(path.stem) if path.suffix == ".gz" else path
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
    near = difflib.get_close_matches(path.name, there, n=1)
    advice = f"did you mean {near[0]!r}?" if near else f"there is: {', '.join(there[:20]) or 'nothing'}"
    return InputError("no such file or directory", where=str(path), advice=advice)


def read_file(path: Path) -> Dataset:
    """All rows of one file.

    Raises:
        InputError: no such file, an unknown ending, or content that the ending does not promise.
    """
    from datasets import load_dataset

    path = path.expanduser()
    if not path.is_file():
        raise missing_file(path)
    if ending(path) not in READERS:
        raise InputError(
            f"unknown kind of data file {path.name!r}", where=str(path), advice=f"one of: {', '.join(READERS)}"
        )
    if path.stat().st_size == 0:
        raise InputError("the file is empty", where=str(path))
    builder, settings = READERS[ending(path)]
    with quiet():
        try:
            return load_dataset(builder, data_files=str(path.absolute()), split="train", **settings)
        except Exception as error:  # `datasets` raises whatever its readers raise
            raise unreadable(path, builder, error) from error


def unreadable(path: Path, builder: str, error: BaseException) -> InputError:
    cause = error.__cause__ or error
    reason = str(cause).strip().splitlines()
    if "corresponds to no data" in str(error):
        return InputError("the file has no rows", where=str(path))
    return InputError(
        f"the file cannot be read as {builder}: {reason[0] if reason else type(cause).__name__}",
        where=str(path),
        advice="check that the file is whole and that its ending says what it holds",
    )
