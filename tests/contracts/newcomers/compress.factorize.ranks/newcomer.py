"""A rank that is not there yet."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field
from torch import Tensor

from compress.core.model.linears import Place
from compress.core.values import Share
from compress.factorize.rank import Rank


class Newcomer(Rank):
    """A share of the shorter side of each matrix."""

    of_side: Share = Field(0.25, description="rank over the shorter side")

    def ranks(self, places: Sequence[Place], spectra: Sequence[Tensor]) -> tuple[int, ...]:
        return tuple(max(1, int(min(place.shape) * self.of_side)) for place in places)
