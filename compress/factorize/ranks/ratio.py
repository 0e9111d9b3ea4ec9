"""Rank by compression ratio: a share of each matrix's own parameters."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated

from pydantic import Field
from torch import Tensor

from compress.core.model.linears import Place
from compress.factorize.rank import Rank

__all__ = ["Ratio"]


class Ratio(Rank):
    """Rank by compression ratio: the largest at which the factors have at most this share of the matrix's parameters.

    r = floor(ratio * out * in / (out + in)), at least one.
    """

    ratio: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = Field(description="share of the parameters kept")

    def ranks(self, places: Sequence[Place], spectra: Sequence[Tensor]) -> tuple[int, ...]:
        share = Fraction(str(self.ratio))
        return tuple(max(1, int(share * p.outputs * p.inputs / (p.outputs + p.inputs))) for p in places)
