"""The sparsity schedule: how fast sparsity grows in a training."""

from __future__ import annotations

from typing import ClassVar

from compress.core.choice import Choice

__all__ = ["Schedule"]


class Schedule(Choice):
    """Share of the growth from initial to final sparsity that is done, by the share of the time that has passed."""

    home: ClassVar[str] = "compress.prune.gradual.schedules"

    def share(self, time: float) -> float:
        """Of the growth, from 0 to 1, at `time`, from 0 to 1; 0 at the start and 1 at the end."""
        raise NotImplementedError
