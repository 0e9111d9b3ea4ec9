"""Seconds of a run by what they were spent on. No torch here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["COMPRESSING", "EXPORTING", "MEASURING", "REST", "SAVING", "TRAINING", "Clock"]

TRAINING, COMPRESSING, EXPORTING, SAVING, MEASURING, REST = (
    "training", "compressing", "exporting", "saving", "measuring", "opening and the rest"
)  # fmt: skip


class Clock:
    """Clock of a run: every second counts once, for the innermost work that is going on.

    Args:
        now: seconds from any start; replaced in tests.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter):
        self._now = now
        self._since = now()
        self._works = [REST]
        self._spent: dict[str, float] = {}

    @contextmanager
    def on(self, work: str) -> Iterator[None]:
        """Within it the time counts for `work`, and not for what is around."""
        self._lap()
        self._works.append(work)
        try:
            yield
        finally:
            self._lap()
            self._works.pop()

    def spent(self, work: str) -> float:
        """Seconds that `work` took until now."""
        self._lap()
        return self._spent.get(work, 0.0)

    def seconds(self) -> dict[str, float]:
        """Seconds by work until now, the longest first."""
        self._lap()
        return dict(sorted(self._spent.items(), key=lambda pair: -pair[1]))

    def _lap(self) -> None:
        now = self._now()
        self._spent[self._works[-1]] = self._spent.get(self._works[-1], 0.0) + now - self._since
        self._since = now
