"""Uniform rank: the same number for every matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field
from torch import Tensor

from compress.core.model.linears import Place
from compress.core.values import Count
from compress.factorize.rank import Rank

__all__ = ["Number"]


class Number(Rank):
    """Uniform rank: the same for every matrix; `rank: 64` is short for it."""

    number: Count = Field(description="the rank")

    def refuses(self, places: Sequence[Place]) -> str | None:
        narrow = min(places, key=lambda place: min(place.shape))
        if self.number <= min(narrow.shape):
            return None
        shape = " x ".join(map(str, narrow.shape))
        return (
            f"a rank of {self.number} is above the full rank of {narrow.path}, which is {shape}; "
            f"choose less than {max(1, narrow.size // sum(narrow.shape))}, where factors become smaller"
        )

    def ranks(self, places: Sequence[Place], spectra: Sequence[Tensor]) -> tuple[int, ...]:
        return (self.number,) * len(places)

    def recipe_form(self) -> Any:
        return self.number
