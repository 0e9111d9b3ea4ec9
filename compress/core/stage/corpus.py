"""Corpora of raw text: of the task's *train*, or of a file with one text on a line."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from compress.core.errors import InputError
from compress.core.files import named_path
from compress.core.stage.context import Context
from compress.core.values import NamesFile

__all__ = ["TASK", "Corpus", "check_file", "documents", "files_of", "texts_of"]

TASK = "task"
PACKED = ".gz"


def _known(value: str) -> str:
    """Raise for a missing or empty file when the recipe is read, so that the error has its place in the recipe."""
    try:
        check_file(value)
    except InputError as error:
        raise PydanticCustomError("corpus", "{what}", {"what": f"{error.what}: {value}"}) from error
    return value


Corpus = Annotated[str, AfterValidator(_known), NamesFile()]
"""`task`, or the path of a file with one text on a line (UTF-8, also .gz; an empty line ends a document)."""


def check_file(corpus: str) -> None:
    """Raise `InputError` where a file is named that is not there or holds no text."""
    if corpus == TASK:
        return
    path = named_path(corpus)
    if not path.is_file():
        raise InputError("there is no such file of texts", given=corpus, advice="name a file, or `task`")
    if not any(line.strip() for line in _lines(path)):
        raise InputError("the file of texts is empty", given=corpus, advice="one text on a line")


def files_of(corpus: str) -> tuple[Path, ...]:
    """The file that is named, or none where the texts are the task's."""
    return () if corpus == TASK else (named_path(corpus),)


def texts_of(corpus: str, ctx: Context) -> list[str]:
    """Every text of the corpus; those of a pair one by one.

    Args:
        corpus: `task`, or the path of a file.
        ctx: gives the texts of the task.

    Raises:
        InputError: the file is not there or empty, or the task has no text.
    """
    return [text for document in documents(corpus, ctx) for text in document]


def documents(corpus: str, ctx: Context) -> list[tuple[str, ...]]:
    """Documents, each as its texts: the lines of a file between empty ones, or the texts of a row of the task.

    Args:
        corpus: `task`, or the path of a file.
        ctx: gives the texts of the task.

    Raises:
        InputError: the file is not there or empty, or the task has no text.
    """
    if corpus == TASK:
        return list(zip(*ctx.texts("train"), strict=True))
    check_file(corpus)
    found: list[list[str]] = [[]]
    for line in _lines(named_path(corpus)):
        if line.strip():
            found[-1].append(line.strip())
        elif found[-1]:
            found.append([])
    return [tuple(document) for document in found if document]


def _lines(path: Path) -> Iterator[str]:
    """The lines, with their newline. A form feed or a line separator of Unicode ends no line."""
    opened = gzip.open if path.suffix == PACKED else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="\n") as file:
            yield from file
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"the file of texts cannot be read: {error}", given=str(path)) from error
