"""Importance by the gradients of single examples' losses."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from compress.core.calibration.passes import mean_over_rows
from compress.core.calibration.per_example_gradients import sums_over_examples
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch
from compress.core.model.matrices import Matrix
from compress.core.stage.context import Context
from compress.core.values import Count
from compress.prune.units.criterion import UnitCriterion
from compress.prune.units.pattern import UnitPattern
from compress.prune.weights.criterion import WeightScoreCriterion

__all__ = ["GradientCriterion"]


class GradientCriterion(UnitCriterion, WeightScoreCriterion):
    """Mean over examples of f(dL/dgate), the gate a factor on a unit's output or on a weight.

    The gradient is taken for each example apart, without dropout. That of a weight's gate is w dL/dw, and f of the
    product is f(w) f(dL/dw).
    """

    needs_data: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = True
    draws_random_numbers: ClassVar[bool] = True

    batches: Count = Field(64, description="batches of train, drawn by the seed")
    batch_size: Count = Field(32, description="rows of a batch")

    @abstractmethod
    def of_example(self, gradient: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """f, elementwise, of one example's gradient, which it may overwrite; f(a b) = f(a) f(b)."""

    def of_units(self, mean: Float[Tensor, " units"]) -> Float[Tensor, " units"]:
        """The scores of one group, from the mean over examples."""
        return mean

    def of_weights(self, mean: Float[Tensor, "out in"]) -> Float[Tensor, "out in"]:
        """The scores of one matrix, from the mean over examples."""
        return mean

    def score(self, bundle: Bundle, pattern: UnitPattern, ctx: Context) -> list[Tensor]:
        def totals(batch: Batch) -> list[Tensor]:
            found = pattern.gate_gradients(bundle, batch, ctx.task_objective())
            return [self.of_example(gradients).sum(0) for gradients in found]

        return [self.of_units(mean) for mean in self._means(bundle, ctx, totals)]

    def score_weights(self, bundle: Bundle, matrices: Mapping[str, Matrix], ctx: Context) -> dict[str, Tensor]:
        def totals(batch: Batch) -> list[Tensor]:
            return sums_over_examples(bundle, matrices, batch, ctx.task_objective(), self.of_example)

        means = zip(matrices.items(), self._means(bundle, ctx, totals), strict=True)
        return {name: self.of_weights(self.of_example(part.weight.clone()) * mean) for (name, part), mean in means}

    def _means(self, bundle: Bundle, ctx: Context, totals: Callable[[Batch], list[Tensor]]) -> list[Tensor]:
        return mean_over_rows(bundle, ctx, totals, batches=self.batches, batch_size=self.batch_size, word=self.name)
