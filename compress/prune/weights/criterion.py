"""Importance of single weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.matrices import Matrix, block_matrices
from compress.core.stage.context import Context
from compress.prune.criterion import Criterion
from compress.prune.pattern import Pattern
from compress.prune.plan import Allocation, Plan
from compress.prune.weights.mask import Mask
from compress.prune.weights.pattern import WeightPattern
from compress.prune.weights.plan import WeightPlan

__all__ = ["WeightCriterion", "WeightScoreCriterion"]


class WeightCriterion(Criterion):
    """A mask of the weights of each matrix."""

    scores: ClassVar[str] = "single weights"

    @abstractmethod
    def mask(self, bundle: Bundle, plan: WeightPlan, ctx: Context) -> Mask:
        """The weights that stay. The model stays as it is.

        Args:
            bundle: whose model.
            plan: the pattern, how much of it, and who competes.
            ctx: for data, seed and task.
        """

    def refuses_weights(self, pattern: WeightPattern, allocation: Allocation) -> str | None:
        """`refuses`, of weights.

        Args:
            pattern: which weights go together.
            allocation: who competes.
        """
        return None

    def refuses(self, pattern: Pattern, allocation: Allocation) -> str | None:
        if isinstance(pattern, WeightPattern):
            return self.refuses_weights(pattern, allocation)
        return super().refuses(pattern, allocation)

    def decide(self, bundle: Bundle, plan: Plan, ctx: Context) -> Change:
        return self.mask(bundle, plan, ctx) if isinstance(plan, WeightPlan) else super().decide(bundle, plan, ctx)


class WeightScoreCriterion(WeightCriterion):
    """A score for each weight, which says all that is needed to choose."""

    @abstractmethod
    def score_weights(self, bundle: Bundle, matrices: Mapping[str, Matrix], ctx: Context) -> dict[str, Tensor]:
        """Importance of each weight, (out, in), by the names of `matrices`; higher stays. The model stays as it is.

        Args:
            bundle: whose model.
            matrices: name of a parameter -> its matrix.
            ctx: for data, seed and task.
        """

    def mask(self, bundle: Bundle, plan: WeightPlan, ctx: Context) -> Mask:
        return Mask.of(plan.masks(bundle, self.score_weights(bundle, block_matrices(bundle), ctx)))
