"""Commands under a launcher of several processes: the first process that fails reports why, and no other does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from compress.core.errors import StageFailed, TrimformerError

if TYPE_CHECKING:
    from finetune.processes import Processes

__all__ = ["one_of_several"]


@contextmanager
def one_of_several(device: str) -> Iterator[Processes]:
    """The processes of the launcher, connected; one process alone where there is none.

    Args:
        device: `auto`, `cpu` or `cuda`, where models are trained.

    Raises:
        StageFailed: another process ended without a word.
    """
    from compress.core.hardware import default_device
    from finetune.processes import Parted, first_to_fail, joined, lost

    try:
        with joined(default_device(device).type) as processes:
            yield processes
    except BaseException as error:
        cause = error.__cause__ if isinstance(error, Parted) and error.__cause__ else error
        if not first_to_fail():
            raise typer.Exit(cause.exit_code if isinstance(cause, TrimformerError) else 1) from None
        if lost(cause):
            raise StageFailed(
                "a process of the launcher ended before the work that they share was done",
                advice="what is finished is kept: run the same command again to resume",
            ) from error
        raise cause from None
