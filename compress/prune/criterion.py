"""What a unit, or a weight, is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from jaxtyping import Float
from torch import Tensor

from compress.core.choice import Choice
from compress.core.model.bundle import Bundle
from compress.core.model.matrices import Matrix, block_matrices
from compress.core.stage.context import Context
from compress.prune.gradual.hook import Narrowing, Way
from compress.prune.units.pattern import Pattern
from compress.prune.weights.mask import Mask
from compress.prune.weights.pattern import WeightPattern

if TYPE_CHECKING:
    from compress.prune.weights.plan import WeightPlan

__all__ = ["Criterion"]


class Criterion(Choice):
    """A score for each unit of each group, or for each weight; those with the lowest scores are removed."""

    home: ClassVar[str] = "compress.prune.criteria"
    needs_data: ClassVar[bool] = False
    """Whether it reads *train*."""
    needs_labels: ClassVar[bool] = False
    """Whether it reads the loss, so that the head must be trained for the task."""
    draws_random_numbers: ClassVar[bool] = False
    units: ClassVar[bool] = True
    """Whether it scores whole units: heads, neurons, layers."""
    weights: ClassVar[bool] = False
    """Whether it scores single weights."""

    def score(self, bundle: Bundle, pattern: Pattern, ctx: Context) -> list[Float[Tensor, " units"]]:
        """One score for each unit of each group, comparable between groups; higher stays. The model stays as it is."""
        raise NotImplementedError

    def score_weights(self, bundle: Bundle, matrices: Mapping[str, Matrix], ctx: Context) -> dict[str, Tensor]:
        """Name -> a score (out, in) for each weight; higher stays. The model stays as it is."""
        raise NotImplementedError

    def mask(self, bundle: Bundle, plan: WeightPlan, ctx: Context) -> Mask:
        """The weights that stay by these scores. One that moves weights, or compares them otherwise, overrides it."""
        return Mask.of(plan.masks(bundle, self.score_weights(bundle, block_matrices(bundle), ctx)))

    def unfit(self, pattern: Pattern, allocation: str) -> str | None:
        """Why it cannot choose among such parts, or None."""
        if isinstance(pattern, WeightPattern):
            return None if self.weights else f"{self.name} does not score single weights ({pattern.name})"
        return None if self.units else f"{self.name} scores single weights, not {pattern.name}"

    def unfit_in_training(self, pattern: Pattern) -> str | None:
        """Why it cannot choose again and again while a model is trained, or None."""
        if self.needs_data:
            return f"{self.name} reads data for its scores; in a training take magnitude, movement or random"
        return self.unfit(pattern, "uniform")

    def bytes_per_weight(self) -> int:
        """What it holds for each weight while a model is trained."""
        return 0

    def narrowing(self, bundle: Bundle, way: Way, ctx: Context) -> Narrowing:
        """What cuts more and more weights of the bundle by these scores, inside a training."""
        return Narrowing(bundle, way, self, ctx)
