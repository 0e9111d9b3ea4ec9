"""Silencing the exporters' warnings and progress bars."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

__all__ = ["quiet"]


@contextmanager
def quiet() -> Iterator[None]:
    """Within it warnings, log lines below ERROR and prints to stdout (progress bars) are dropped; errors pass.

    The exporters warn about every traced branch and about their own deprecation. What could matter in these warnings
    (a branch that another input takes) is measured afterwards, by the parity check.
    """
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
