"""How much the loss would move without a unit or a weight, to first order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from compress.core.bundle import Bundle
from compress.core.context import Context
from compress.core.settings import Count
from compress.core.training import Batch
from compress.prune.criterion import Criterion
from compress.prune.gates import gate_slopes
from compress.prune.gradients import totals_of_gradients
from compress.prune.matrices import Matrix
from compress.prune.over_rows import mean_over_rows
from compress.prune.pattern import Pattern

__all__ = ["Taylor", "sum_of_sizes", "taylor_of_weights"]


class Taylor(Criterion):
    """Mean over examples of |dL/dgate|, the gate a factor on a unit's output or on a weight.

    The gradient is taken for each example apart and its absolute value averaged, without dropout. Units' scores
    are L2-normalised in each layer, which makes layers comparable and counts only where they compete (`allocation:
    global`); those of weights, |w dL/dw|, are compared as they are.

    Weights take a backward pass for each row, several times as long as units; fewer `batches` take less.

    References:
        Michel et al. 2019, arXiv 1905.10650, eq. 2 and section 4.1; Molchanov et al. 2017, arXiv 1611.06440.
    """

    needs_data: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = True
    draws_random_numbers: ClassVar[bool] = True
    weights: ClassVar[bool] = True

    batches: Count = Field(64, description="batches of train, drawn by the seed")
    batch_size: Count = Field(32, description="rows of a batch")

    def score(self, bundle: Bundle, pattern: Pattern, ctx: Context) -> list[Tensor]:
        def totals(batch: Batch) -> list[Tensor]:
            return [sum_of_sizes(slopes) for slopes in gate_slopes(bundle, pattern, batch, ctx.task_objective())]

        means = self._means(bundle, ctx, totals)
        return [F.normalize(mean, dim=0) for mean in means]

    def score_weights(self, bundle: Bundle, matrices: Mapping[str, Matrix], ctx: Context) -> dict[str, Tensor]:
        def totals(batch: Batch) -> list[Tensor]:
            return totals_of_gradients(bundle, matrices, batch, ctx.task_objective(), taylor_of_weights)

        return dict(zip(matrices, self._means(bundle, ctx, totals), strict=True))

    def _means(self, bundle: Bundle, ctx: Context, totals: Callable[[Batch], list[Tensor]]) -> list[Tensor]:
        return mean_over_rows(bundle, ctx, totals, batches=self.batches, batch_size=self.batch_size, word=self.name)


def sum_of_sizes(slopes: Float[Tensor, "batch units"]) -> Float[Tensor, " units"]:
    """Sum over rows of |dL(row)/dgate|."""
    return slopes.abs().sum(0)


def taylor_of_weights(weight: Float[Tensor, "out in"], gradient: Float[Tensor, "out in"]) -> Float[Tensor, "out in"]:
    """|w g| of one example."""
    return (weight * gradient).abs()
