"""A schedule that is not there yet."""

from __future__ import annotations

from compress.prune.gradual.schedule import Schedule


class Newcomer(Schedule):
    """t^2: little is cut at first."""

    def share(self, time: float) -> float:
        return time * time
