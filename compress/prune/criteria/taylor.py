"""How much the loss would move if a unit were gated, to first order."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from compress.core.bundle import Bundle
from compress.core.context import Context
from compress.core.settings import Count
from compress.prune.criterion import Criterion
from compress.prune.over_rows import mean_over_rows
from compress.prune.pattern import Pattern

__all__ = ["Taylor", "sum_of_sizes"]


class Taylor(Criterion):
    """Mean over examples of |dL/dgate|, the gate a factor on a unit's output; L2-normalised in each layer.

    The gradient is taken for each example apart and its absolute value averaged, without dropout. The normalisation
    makes layers comparable, which counts only where they compete (`allocation: global`).

    References:
        Michel et al. 2019, arXiv 1905.10650, eq. 2 and section 4.1; Molchanov et al. 2017, arXiv 1611.06440.
    """

    needs_data: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = True
    draws_random_numbers: ClassVar[bool] = True

    batches: Count = Field(64, description="batches of train, drawn by the seed")
    batch_size: Count = Field(32, description="rows of a batch")

    def score(self, bundle: Bundle, pattern: Pattern, ctx: Context) -> list[Tensor]:
        means = mean_over_rows(
            bundle, pattern, ctx, sum_of_sizes, batches=self.batches, batch_size=self.batch_size, name=self.name
        )
        return [F.normalize(mean, dim=0) for mean in means]


def sum_of_sizes(slopes: Float[Tensor, "batch units"]) -> Float[Tensor, " units"]:
    """Sum over rows of |dL(row)/dgate|."""
    return slopes.abs().sum(0)
