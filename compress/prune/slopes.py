"""What the slopes of single examples' losses say of a unit or a weight."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch
from compress.core.model.matrices import Matrix
from compress.core.stage.context import Context
from compress.core.training.calibration import mean_over_rows
from compress.core.training.per_example_gradients import sums_over_examples
from compress.core.values import Count
from compress.prune.units.criterion import UnitCriterion
from compress.prune.units.gating import gate_slopes
from compress.prune.units.pattern import UnitPattern
from compress.prune.weights.criterion import WeightScoreCriterion

__all__ = ["SlopeCriterion"]


class SlopeCriterion(UnitCriterion, WeightScoreCriterion):
    """Mean over examples of the size of dL/dgate, the gate a factor on a unit's output or on a weight.

    The gradient is taken for each example apart, without dropout. That of a weight's gate is w dL/dw, whose size is
    that of w times that of dL/dw.
    """

    needs_data: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = True
    draws_random_numbers: ClassVar[bool] = True

    batches: Count = Field(64, description="batches of train, drawn by the seed")
    batch_size: Count = Field(32, description="rows of a batch")

    @abstractmethod
    def size(self, slope: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """What one slope counts, elementwise; it may overwrite it. Of a product, the product of the sizes."""

    def of_units(self, mean: Float[Tensor, " units"]) -> Float[Tensor, " units"]:
        """The scores of one group, from the mean sizes of its slopes."""
        return mean

    def of_weights(self, mean: Float[Tensor, "out in"]) -> Float[Tensor, "out in"]:
        """The scores of one matrix, from the mean sizes of its slopes."""
        return mean

    def score(self, bundle: Bundle, pattern: UnitPattern, ctx: Context) -> list[Tensor]:
        def totals(batch: Batch) -> list[Tensor]:
            return [self.size(slopes).sum(0) for slopes in gate_slopes(bundle, pattern, batch, ctx.task_objective())]

        return [self.of_units(mean) for mean in self._means(bundle, ctx, totals)]

    def score_weights(self, bundle: Bundle, matrices: Mapping[str, Matrix], ctx: Context) -> dict[str, Tensor]:
        def totals(batch: Batch) -> list[Tensor]:
            return sums_over_examples(bundle, matrices, batch, ctx.task_objective(), self.size)

        means = zip(matrices.items(), self._means(bundle, ctx, totals), strict=True)
        return {name: self.of_weights(self.size(part.weight.clone()) * mean) for (name, part), mean in means}

    def _means(self, bundle: Bundle, ctx: Context, totals: Callable[[Batch], list[Tensor]]) -> list[Tensor]:
        return mean_over_rows(bundle, ctx, totals, batches=self.batches, batch_size=self.batch_size, word=self.name)
