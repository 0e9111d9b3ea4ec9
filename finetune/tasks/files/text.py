"""Text files of data: UTF-8, packed or not, line by line."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from compress.core.errors import InputError

__all__ = ["PACKED", "lines", "opened", "unreadable"]

PACKED = ".gz"


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked; whatever goes wrong in reading them inside the `with` is an `InputError`."""
    unpack: Any = gzip.open if path.suffix == PACKED else open
    try:
        with unpack(path, "rb") as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise unreadable(path, reason) from error


def lines(path: Path) -> Iterator[str]:
    """The lines of a text file, each with its newline. Only a newline ends one: no form feed, no separator of Unicode.

    Raises:
        InputError: it is not UTF-8, or holds NUL bytes; the message has the line.
    """
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
                _refuse_utf_16(line, path)
            if b"\0" in line:
                raise InputError(
                    "the line holds a NUL byte, which no text has",
                    where=f"{path}:{number}",
                    advice="remove it: tr -d '\\000' < OLD > NEW",
                )
            yield _decoded(line, f"{path}:{number}")


def unreadable(path: Path, reason: str, *, kind: str = "") -> InputError:
    """The error of a file that cannot be read.

    Args:
        path: of the file.
        reason: what the reader says.
        kind: what it was read as.
    """
    return InputError(
        f"the file cannot be read{f' as {kind}' if kind else ''}: {reason}",
        where=str(path),
        advice="check that the file is whole and that its ending says what it holds",
    )


def _decoded(line: bytes, where: str) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"the line is not UTF-8: byte 0x{line[error.start]:02x} at its byte {error.start}",
            where=where,
            advice="convert the file, for example from latin-1: iconv -f latin1 -t utf-8 OLD > NEW",
        ) from error


def _refuse_utf_16(line: bytes, path: Path) -> None:
    if line.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(
            "the file is UTF-16, not UTF-8", where=str(path), advice="convert it: iconv -f utf-16 -t utf-8 OLD > NEW"
        )
