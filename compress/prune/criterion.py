"""The pruning criterion: the importance of a unit or a weight, by which it stays or goes."""

from __future__ import annotations

from typing import ClassVar

from compress.core.choice import Choice
from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.stage.context import Context
from compress.prune.pattern import Pattern
from compress.prune.plan import Allocation, Plan

__all__ = ["Criterion"]


class Criterion(Choice):
    """Importance of units or of weights; the least important are removed.

    A member inherits from the parent of what it scores, `UnitCriterion` or `WeightCriterion`; one that scores both
    from both.
    """

    home: ClassVar[str] = "compress.prune.criteria"
    plural: ClassVar[str] = "criteria"
    scores: ClassVar[str] = ""
    """What it scores, in words."""
    needs_data: ClassVar[bool] = False
    """Whether it reads *train*."""
    needs_labels: ClassVar[bool] = False
    """Whether it reads the loss, so that the head must be trained for the task."""
    draws_random_numbers: ClassVar[bool] = False

    def refuses(self, pattern: Pattern, allocation: Allocation) -> str | None:
        """Why it cannot choose among such units or weights, or None.

        Args:
            pattern: what is pruned.
            allocation: who competes.
        """
        return f"{self.name} scores {self.scores}, not {pattern.name}"

    def decide(self, bundle: Bundle, plan: Plan, ctx: Context) -> Change:
        """What is removed. The model stays as it is.

        Args:
            bundle: whose model.
            plan: the pattern, how much of it, and who competes.
            ctx: for data, seed and task.
        """
        raise TypeError(f"{self.name} scores {self.scores}; this is a {type(plan).__name__}")
