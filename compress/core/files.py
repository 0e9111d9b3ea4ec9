"""Files and folders that are written whole or not at all: a process that is killed leaves what was there before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["write_whole", "written_whole"]


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A path beside `path` to write a file or a folder at; at the end of the `with` it takes the place of `path`.

    After an error nothing of it is left. A folder takes the place of none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    _remove(beside)
    try:
        yield beside
        if beside.is_file():
            _flush(beside)
        beside.replace(path)
    finally:
        _remove(beside)


def write_whole(path: Path, text: str) -> None:
    """Write all of `text` in UTF-8, or nothing."""
    with written_whole(path) as beside:
        beside.write_text(text, "utf-8", newline="")


def _flush(file: Path) -> None:
    """Let the disk have it before its name is the file's: after a loss of power the name must not hold nothing."""
    with file.open("rb") as written:
        os.fsync(written.fileno())


def _remove(beside: Path) -> None:
    if beside.is_dir():
        shutil.rmtree(beside)
    else:
        beside.unlink(missing_ok=True)
