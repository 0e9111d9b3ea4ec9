"""Uniform rank: the same number for every matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field
from torch import Tensor

from compress.core.model.linears import Place
from compress.core.values import Count
from compress.factorize.rank import Rank, above_full_rank

__all__ = ["Number"]


class Number(Rank):
    """Uniform rank: the same for every matrix; `rank: 64` is short for it."""

    number: Count = Field(description="the rank")

    def refuses(self, places: Sequence[Place]) -> str | None:
        def advice(narrow: Place) -> str:
            return f"choose less than {max(1, narrow.size // sum(narrow.shape))}, where factors become smaller"

        return above_full_rank(places, self.number, what=f"a rank of {self.number}", advice=advice)

    def ranks(self, places: Sequence[Place], spectra: Sequence[Tensor]) -> tuple[int, ...]:
        return (self.number,) * len(places)

    def recipe_form(self) -> Any:
        return self.number
