"""How fast sparsity grows inside a training."""

from __future__ import annotations

from typing import ClassVar

from compress.core.choice import Choice

__all__ = ["Schedule"]


class Schedule(Choice):
    """How much of the way to the final sparsity is done, when so much of its time is."""

    home: ClassVar[str] = "compress.prune.gradual.schedules"

    def share(self, time: float) -> float:
        """Of the way, from 0 to 1, at `time`, from 0 to 1; 0 and 1 lie at the ends."""
        raise NotImplementedError
