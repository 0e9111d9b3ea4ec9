"""Error messages and exit codes of a command: one message for a mistake or a failure, warnings as they come."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer

__all__ = ["one_message"]

INTERRUPTED, TERMINATED = 130, 143


class Terminated(BaseException):
    """The process was asked to end."""


@contextmanager
def one_message() -> Iterator[None]:
    """Every mistake and every failure is one message on stderr and an exit code; a bug keeps its traceback."""
    from compress.core.errors import TrimformerError

    def terminate(signum: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        with _warnings_told():
            yield
    except TrimformerError as error:
        if os.environ.get("TRIMFORMER_TRACEBACK"):
            raise
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    except (KeyboardInterrupt, Terminated) as stop:
        typer.echo("\nstopped; what is finished is kept: run the same command again to resume", err=True)
        raise typer.Exit(INTERRUPTED if isinstance(stop, KeyboardInterrupt) else TERMINATED) from None
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _warnings_told() -> Iterator[None]:
    """What the project's modules log is printed on stderr, fitted to the terminal."""
    from rich.console import Console
    from rich.logging import RichHandler

    handler = RichHandler(console=Console(stderr=True), show_time=False, show_path=False)
    loggers = [logging.getLogger(package) for package in ("compress", "finetune", "recipes")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
