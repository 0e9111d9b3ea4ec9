"""Marks of files: size, time of change and SHA-256, by which damage to a file is noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path

from compress.core.values import Settings

__all__ = ["Mark", "Marks", "damaged_files", "file_sha256", "mark_of", "marks_of", "renewed_marks"]

SMALL = 1 << 16
"""Bytes; files up to this size are hashed whenever they are looked at, which costs no more than opening them."""


class Mark(Settings):
    """A file as it was written.

    Attributes:
        bytes: its size.
        changed: its time of modification, in nanoseconds.
        sha256: of its contents.
    """

    bytes: int
    changed: int
    sha256: str


Marks = Mapping[str, Mark]
"""Path in a directory, with slashes -> the file's mark."""


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's contents, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def mark_of(path: Path) -> Mark:
    """The mark of a file, as it is now."""
    found = path.stat()
    return Mark(bytes=found.st_size, changed=found.st_mtime_ns, sha256=file_sha256(path))


def marks_of(directory: Path, *, leave: Collection[str] = ()) -> dict[str, Mark]:
    """The marks of all files below `directory`, sorted by name.

    Args:
        directory: as it was just written.
        leave: names of files in it that are not marked.
    """
    files = {path.relative_to(directory).as_posix(): path for path in directory.rglob("*") if path.is_file()}
    return {name: mark_of(files[name]) for name in sorted(files) if name not in leave}


def damaged_files(directory: Path, marks: Marks, *, whole: bool) -> list[str]:
    """Names of the files that are missing, or are not as they were written.

    A size that differs is damage; where only the time differs, as in a copy, the contents decide.

    Args:
        directory: of the files.
        marks: of when they were written.
        whole: hash every file; otherwise large files of the same size and time are taken for unchanged.
    """
    return [name for name, mark in marks.items() if not _as_written(directory / name, mark, whole=whole)]


def renewed_marks(directory: Path, marks: Marks) -> dict[str, Mark]:
    """The marks with what was replaced on purpose marked anew, and the times that the files have here.

    Args:
        directory: of the files.
        marks: of when they were written.
    """
    return {
        name: mark if _unmoved(directory / name, mark) else mark_of(directory / name) for name, mark in marks.items()
    }


def _as_written(path: Path, mark: Mark, *, whole: bool) -> bool:
    try:
        if not path.is_file() or path.stat().st_size != mark.bytes:
            return False  # a device has no end
        if whole or mark.bytes <= SMALL or not _unmoved(path, mark):
            return file_sha256(path) == mark.sha256
    except OSError:
        return False
    return True


def _unmoved(path: Path, mark: Mark) -> bool:
    found = path.stat()
    return (found.st_size, found.st_mtime_ns) == (mark.bytes, mark.changed)
