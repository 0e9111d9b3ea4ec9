"""Guarded reading: whatever a file on disk makes a library raise becomes one error that names the file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from compress.core.errors import InputError, TrimformerError, clipped, listed

__all__ = ["MOST_BYTES", "MOST_NESTED", "guarded", "names", "read_object", "reason"]

MOST_BYTES = 32 * 10**6
"""Of a configuration or a record; the vocabulary's files may be larger."""
MOST_NESTED = 64
"""Objects and lists inside each other: libraries copy configurations recursively, and end at a few hundred."""
MOST_CHARACTERS = 300
"""Of a message that another library wrote."""


@contextmanager
def guarded(what: str, *, given: object, advice: str | None = None) -> Iterator[None]:
    """The outermost door of a library that opens a file: what it raises there becomes an `InputError`.

    No list of exceptions would be complete: a file of the wrong types ends in whatever the first operation on it
    raises, and the panics of libraries written in Rust are no `Exception`.

    Args:
        what: the sentence that the library's own reason completes.
        given: the file or the directory.
        advice: what to do about it.
    """
    try:
        yield
    except TrimformerError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise InputError(f"{what}: {reason(error)}", given=given, advice=advice) from error


def reason(error: BaseException) -> str:
    """The first line of an exception's message, shortened; its type alone where it has none."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kind = type(error).__name__
    if not lines:
        return kind
    # A first line that ends with a colon only introduces the reason.
    said = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    told = clipped(said, MOST_CHARACTERS)
    return told if isinstance(error, OSError) else f"{kind}: {told}"


def names(given: Iterable[object], *, most: int = 4) -> str:
    """Names of tensors or files in one line, sorted, the first few of them.

    Args:
        given: the names.
        most: how many are shown.
    """
    return listed(sorted(str(name) for name in given), most, longest=100)


def read_object(path: Path, *, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """The object in a JSON file.

    Args:
        path: of the file, which exists.
        most_bytes: the size from which it is not read.

    Raises:
        InputError: it cannot be read, is larger, or is no UTF-8, no JSON, no object, or nested too deeply.
    """
    where = str(path)
    try:
        size = path.stat().st_size
        if size > most_bytes:
            raise InputError(f"{path.name} is {size / 1e6:.0f} MB large, which no such file is", where=where)
        text = path.read_text("utf-8")
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror or error}", where=where) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} is not UTF-8: {reason(error)}", where=where) from error
    if not text.strip():
        raise InputError(f"{path.name} is empty", where=where, advice="copy it again from where the model came from")
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise _too_deep(path) from error
    except ValueError as error:
        raise InputError(f"{path.name} is not valid JSON: {reason(error)}", where=where) from error
    if not isinstance(found, dict):
        raise InputError(f"{path.name} holds no object, but a {type(found).__name__}", where=where)
    if size <= MOST_BYTES and _nesting(found) > MOST_NESTED:
        raise _too_deep(path)
    return found


def _too_deep(path: Path) -> InputError:
    return InputError(f"{path.name} is nested more than {MOST_NESTED} levels deep", where=str(path))


def _nesting(value: Any) -> int:
    """Levels of objects and lists; counted level by level, since recursion is what has to be prevented."""
    level, depth = [value], 0
    while level and depth <= MOST_NESTED:
        depth += 1
        inner = [each for held in level for each in (held.values() if isinstance(held, dict) else held)]
        level = [each for each in inner if isinstance(each, (dict, list))]
    return depth
