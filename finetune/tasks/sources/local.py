"""Rows in files: json, jsonl, csv, tsv and parquet, also compressed as .gz."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from compress.core.errors import InputError, UnknownName, listed
from compress.core.files import named_path
from finetune.tasks.files.columns import Columns
from finetune.tasks.files.read import READERS, is_data, missing_file, read_file, stem
from finetune.tasks.source import Source

__all__ = ["Local"]


class Local(Source):
    """Files on this machine: one file (its split is its stem), or a directory of train.*, validation.*, test.*"""

    path: str = Field(description="a file, or a directory of them")

    def splits(self) -> tuple[str, ...]:
        return tuple(sorted(self._files(), key=lambda name: (name != "train", name)))

    def read(self, split: str, wanted: tuple[str, ...]) -> Columns:
        return read_file(self.file(split), wanted)

    def place(self, split: str) -> str:
        return str(self.file(split))

    def file(self, split: str) -> Path:
        """The file of one of the `splits`."""
        files = self._files()
        if split not in files:
            raise UnknownName("split", split, files, where=self.path)
        return files[split]

    def describe(self) -> str:
        return self.path

    def _files(self) -> dict[str, Path]:
        path = named_path(self.path)
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
            raise InputError(
                f"no data file (there is: {listed(file.name for file in files) or 'nothing'})",
                where=self.path,
                advice=f"files end in {', '.join(READERS)}, or .gz",
            )
        return found
