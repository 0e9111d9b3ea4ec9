"""How much the loss would grow without a weight, to second order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from compress.core.bundle import Bundle
from compress.core.context import Context
from compress.core.settings import Count
from compress.prune.criterion import Criterion
from compress.prune.gradients import mean_over_rows, row_gradients
from compress.prune.matrices import Matrix

__all__ = ["Fisher", "fisher_of_weights"]


class Fisher(Criterion):
    """Mean over examples of (w dL/dw)^2 / 2: the diagonal of the empirical Fisher information times w^2 / 2.

    References:
        Theis et al. 2018, arXiv 1801.05787, eq. 8 and 9.
    """

    needs_data: ClassVar[bool] = True
    draws_random_numbers: ClassVar[bool] = True
    units: ClassVar[bool] = False
    weights: ClassVar[bool] = True

    batches: Count = Field(16, description="batches of train, drawn by the seed")
    batch_size: Count = Field(32, description="rows of a batch")

    def score_weights(self, bundle: Bundle, matrices: Mapping[str, Matrix], ctx: Context) -> dict[str, Tensor]:
        rows = row_gradients(bundle, matrices, ctx, batches=self.batches, batch_size=self.batch_size, word="fisher")
        return mean_over_rows(rows, lambda name, g: fisher_of_weights(matrices[name].weight, g), word="fisher")


def fisher_of_weights(weight: Float[Tensor, "out in"], gradient: Float[Tensor, "out in"]) -> Float[Tensor, "out in"]:
    """(w g)^2 / 2 of one example."""
    return (weight * gradient).square() / 2
