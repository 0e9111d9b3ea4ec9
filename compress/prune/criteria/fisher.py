"""How much the loss would grow if a unit were gated, to second order, by the Fisher information of its gate."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from compress.core.bundle import Bundle
from compress.core.context import Context
from compress.core.settings import Count
from compress.prune.criterion import Criterion
from compress.prune.over_rows import mean_over_rows
from compress.prune.pattern import Pattern

__all__ = ["Fisher", "sum_of_squares"]


class Fisher(Criterion):
    """Half the mean over examples of (dL/dgate)², the gate a factor on a unit's output.

    To second order the loss grows by so much when the gate closes, at a minimum of the loss, where the Hessian is the
    Fisher information. All layers have one scale, that of the loss, so nothing is normalised.

    References:
        Theis et al. 2018, arXiv 1801.05787, eq. 5 and 6; Molchanov et al. 2019, arXiv 1906.10771, eq. 8.
    """

    needs_data: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = True
    draws_random_numbers: ClassVar[bool] = True

    batches: Count = Field(64, description="batches of train, drawn by the seed")
    batch_size: Count = Field(32, description="rows of a batch")

    def score(self, bundle: Bundle, pattern: Pattern, ctx: Context) -> list[Tensor]:
        means = mean_over_rows(
            bundle, pattern, ctx, sum_of_squares, batches=self.batches, batch_size=self.batch_size, name=self.name
        )
        return [mean / 2 for mean in means]


def sum_of_squares(slopes: Float[Tensor, "batch units"]) -> Float[Tensor, " units"]:
    """Sum over rows of (dL(row)/dgate)²."""
    return slopes.square().sum(0)
