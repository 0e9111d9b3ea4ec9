"""The sparsity schedule of a training: from which sparsity to which, between which of its steps."""

from __future__ import annotations

from dataclasses import dataclass

from compress.prune.gradual.schedule import Schedule
from compress.prune.plan import Allocation
from compress.prune.weights.pattern import WeightPattern
from compress.prune.weights.plan import WeightPlan

__all__ = ["Ramp"]

CLOSE = 1e-9
"""Shares of the steps nearer than this are the same."""


@dataclass(frozen=True)
class Ramp:
    """Sparsity that grows from one value to another in a part of a training.

    Attributes:
        schedule: how fast it grows.
        first, last: the sparsity at both ends, with what earlier masks cut.
        start, end: shares of all steps between which it grows.
        every: steps between two cuts.
        pattern, allocation, floor: as `prune` has them.
    """

    schedule: Schedule
    first: float
    last: float
    start: float
    end: float
    every: int
    pattern: WeightPattern
    allocation: Allocation = "global"
    floor: float = 0.0

    def begun(self, progress: float) -> bool:
        return progress >= self.start - CLOSE

    def over(self, progress: float) -> bool:
        return progress >= self.end - CLOSE

    def time(self, progress: float) -> float:
        """How much of the time between `start` and `end` is over, from 0 to 1."""
        return min(1.0, max(0.0, (progress - self.start) / (self.end - self.start)))

    def sparsity(self, progress: float) -> float:
        """s_f + (s_i - s_f) (1 - share): Zhu and Gupta 2017, arXiv 1710.01878, eq. 1, with any schedule.

        Args:
            progress: share of all steps done.
        """
        if self.over(progress):
            return self.last
        return self.last + (self.first - self.last) * (1 - self.schedule.share(self.time(progress)))

    def plan(self, sparsity: float) -> WeightPlan | None:
        """What is cut at such a sparsity; None where that is nothing."""
        pattern = self.pattern.towards(sparsity)
        if pattern is None:
            return None
        own = pattern.own_sparsity()
        return pattern.plan(sparsity if own is None else own, allocation=self.allocation, floor=self.floor)
