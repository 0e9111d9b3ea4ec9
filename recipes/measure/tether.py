"""Tether of a worker's life to its caller's: a killed run leaves no measuring process behind."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["end_with", "tether"]

CALLER_ENDED = 70
"""The worker's exit status then; nobody is left to read it."""


@contextmanager
def tether() -> Iterator[int]:
    """A file descriptor to hand to a worker. It reads the end of the file when this process ends, however it ends."""
    held_there, held_here = os.pipe()
    try:
        yield held_there
    finally:
        os.close(held_there)
        os.close(held_here)


def end_with(descriptor: int) -> None:
    """End this process at once when the other end of `descriptor` is closed."""

    def wait() -> None:
        os.read(descriptor, 1)
        os._exit(CALLER_ENDED)

    threading.Thread(target=wait, daemon=True).start()
