"""Failure of one stage by an exception that no part of the toolkit foresaw: the stage fails alone, and is reported."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from compress.core.errors import StageFailed, TrimformerError
from finetune.processes import Parted, everyone

if TYPE_CHECKING:
    from recipes.engine.journal import Journal

__all__ = ["alone_fails"]

MOST = 300
"""Characters of a foreign error that are shown; its traceback stands in the log."""


@contextmanager
def alone_fails(journal: Journal) -> Iterator[None]:
    """Within it every foreign exception is a failed stage, and its traceback is written into the log.

    Under a launcher of several processes it stays what it is: the others wait in the middle of the stage, and all end.

    Raises:
        StageFailed: for the exception.
    """
    try:
        yield
    except (TrimformerError, Parted):
        raise
    except Exception as error:  # the one door that keeps an unforeseen error inside its stage
        if everyone().count > 1:
            raise
        journal.keep("".join(traceback.format_exception(error)))
        raise StageFailed(
            f"an error that the stage did not foresee: {type(error).__name__}: {_short(str(error))}",
            where=None if journal.file is None else f"{journal.file}, which has the traceback",
            advice="what is finished is kept, and what does not stand on this stage goes on; please report it",
        ) from error


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MOST else f"{line[:MOST]} ..."
