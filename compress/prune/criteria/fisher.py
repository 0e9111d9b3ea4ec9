"""How much the loss would grow without a unit or a weight, to second order, by the Fisher information."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

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

__all__ = ["Fisher", "fisher_of_weights", "sum_of_squares"]


class Fisher(Criterion):
    """Half the mean over examples of (dL/dgate)^2, the gate a factor on a unit's output or on a weight.

    To second order the loss grows by so much when the gate closes, at a minimum of the loss, where the Hessian is the
    Fisher information. All layers have one scale, that of the loss, so nothing is normalised. Of a weight it is
    (w dL/dw)^2 / 2: the diagonal of the empirical Fisher information times w^2 / 2.

    Weights take a backward pass for each row, several times as long as units; fewer `batches` take less.

    References:
        Theis et al. 2018, arXiv 1801.05787, eq. 5 to 9; Molchanov et al. 2019, arXiv 1906.10771, eq. 8.
    """

    needs_data: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = True
    draws_random_numbers: ClassVar[bool] = True
    weights: ClassVar[bool] = True

    batches: Count = Field(64, description="batches of train, drawn by the seed")
    batch_size: Count = Field(32, description="rows of a batch")

    def score(self, bundle: Bundle, pattern: Pattern, ctx: Context) -> list[Tensor]:
        def totals(batch: Batch) -> list[Tensor]:
            return [sum_of_squares(slopes) for slopes in gate_slopes(bundle, pattern, batch, ctx.task_objective())]

        means = self._means(bundle, ctx, totals)
        return [mean / 2 for mean in means]

    def score_weights(self, bundle: Bundle, matrices: Mapping[str, Matrix], ctx: Context) -> dict[str, Tensor]:
        def totals(batch: Batch) -> list[Tensor]:
            return totals_of_gradients(bundle, matrices, batch, ctx.task_objective(), fisher_of_weights)

        return dict(zip(matrices, self._means(bundle, ctx, totals), strict=True))

    def _means(self, bundle: Bundle, ctx: Context, totals: Callable[[Batch], list[Tensor]]) -> list[Tensor]:
        return mean_over_rows(bundle, ctx, totals, batches=self.batches, batch_size=self.batch_size, word=self.name)


def sum_of_squares(slopes: Float[Tensor, "batch units"]) -> Float[Tensor, " units"]:
    """Sum over rows of (dL(row)/dgate)^2."""
    return slopes.square().sum(0)


def fisher_of_weights(weight: Float[Tensor, "out in"], gradient: Float[Tensor, "out in"]) -> Float[Tensor, "out in"]:
    """(w g)^2 / 2 of one example."""
    return (weight * gradient).square() / 2
