"""Importance of whole units: heads, neurons, layers, entries of the hidden dimension."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from compress.core.errors import StageFailed
from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.stage.context import Context
from compress.core.stage.exhibit import Heatmap, kept_units
from compress.prune.criterion import Criterion
from compress.prune.pattern import Pattern
from compress.prune.plan import Allocation, Plan
from compress.prune.units.pattern import UnitPattern
from compress.prune.units.plan import UnitPlan

__all__ = ["UnitCriterion"]


class UnitCriterion(Criterion):
    """A score for each unit."""

    scores: ClassVar[str] = "whole units"

    @abstractmethod
    def score(self, bundle: Bundle, pattern: UnitPattern, ctx: Context) -> list[Float[Tensor, " units"]]:
        """Importance of each unit of each group, comparable between groups; higher stays. The model stays as it is.

        Args:
            bundle: whose model.
            pattern: what a unit is.
            ctx: for data, seed and task.
        """

    def refuses_units(self, pattern: UnitPattern, allocation: Allocation) -> str | None:
        """`refuses`, of units.

        Args:
            pattern: what a unit is.
            allocation: who competes.
        """
        return None

    def refuses(self, pattern: Pattern, allocation: Allocation) -> str | None:
        if isinstance(pattern, UnitPattern):
            return self.refuses_units(pattern, allocation)
        return super().refuses(pattern, allocation)

    def decide(self, bundle: Bundle, plan: Plan, ctx: Context) -> Change:
        if not isinstance(plan, UnitPlan):
            return super().decide(bundle, plan, ctx)
        scores = self.score(bundle, plan.pattern, ctx)
        if not all(bool(torch.isfinite(score).all()) for score in scores):
            raise StageFailed(f"a score of the {plan.pattern.part} is not finite", given=self.name)
        sketch = bundle.sketch()
        change = plan.change(sketch, scores)
        ctx.show(*(_importance(stay, scores) for stay in kept_units(change.summary(sketch))))
        return change


def _importance(stay: Heatmap, scores: Sequence[Tensor]) -> Heatmap:
    """The score of every unit, beside which of them stay."""
    return Heatmap(
        title=f"importance of the {stay.title}",
        rows=stay.rows,
        values=tuple(map(_rounded, scores)),
        kept=stay.kept,
        of=stay.of,
    )


def _rounded(score: Tensor) -> tuple[float, ...]:
    return tuple(float(f"{value:.4g}") for value in score.tolist())
