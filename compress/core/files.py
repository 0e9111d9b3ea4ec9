"""Atomic writing of files and folders: a process that is killed leaves what was there before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compress.core.errors import InputError

__all__ = ["named_path", "write_whole", "written_whole"]


def named_path(text: str | Path) -> Path:
    """The path that somebody gave, with `~` as the home directory; there need be nothing at it.

    Raises:
        InputError: no file can have such a name (a NUL, half of a surrogate pair, too long), the home is of nobody, or
            its directory may not be looked into.
    """
    try:
        path = Path(text).expanduser()
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return path
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"this cannot be a path: {reason}", given=str(text)) from error
    return path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Atomic write: a temporary path for a file or a folder, which is renamed to `path` at the end of the `with`.

    After an error it is removed. A folder must not exist at `path`.
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
    """Write a text atomically, in UTF-8.

    Args:
        path: of the file; its folder is made if missing.
        text: with its newlines as they are.
    """
    with written_whole(path) as beside:
        beside.write_text(text, "utf-8", newline="")


def _flush(file: Path) -> None:
    """Flush to disk before renaming, so that a loss of power leaves no empty file."""
    with file.open("rb") as written:
        os.fsync(written.fileno())


def _remove(beside: Path) -> None:
    if beside.is_dir():
        shutil.rmtree(beside)
    else:
        beside.unlink(missing_ok=True)
