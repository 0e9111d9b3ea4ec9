"""Ranks: how many singular values are kept of each matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema
from torch import Tensor

from compress.core.choice import Choice
from compress.core.model.linears import Place

__all__ = ["Rank", "above_full_rank", "cost", "flat_spectra", "saves"]


class Rank(Choice):
    """Rank of each matrix's factors; a plain number is that rank for all."""

    home: ClassVar[str] = "compress.factorize.ranks"
    from_shapes: ClassVar[bool] = True
    """Whether the shapes of the matrices alone decide it."""

    def refuses(self, places: Sequence[Place]) -> str | None:
        """Why matrices of such shapes cannot have this rank, or None."""
        return None

    def ranks(self, places: Sequence[Place], spectra: Sequence[Float[Tensor, " _"]]) -> tuple[int, ...]:
        """The rank of each matrix, also where its factors would be larger than itself.

        Args:
            places: the matrices.
            spectra: their singular values, descending. Of all possible spectra, a flat one takes the most parameters.
        """
        raise NotImplementedError

    def most(self, places: Sequence[Place]) -> int:
        """Upper bound of the parameters that the matrices have together afterwards."""
        ranks = self.ranks(places, flat_spectra(places))
        return sum(min(cost(place, rank), place.size) for place, rank in zip(places, ranks))

    @classmethod
    def parse(cls, value: Any) -> Any:
        return super().parse({"number": value} if isinstance(value, int) and not isinstance(value, bool) else value)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        found = super().__get_pydantic_json_schema__(schema, handler)
        if not cls.is_set():
            return found
        return {"anyOf": [{"type": "integer", "minimum": 1, "description": "that rank for all"}, *found["anyOf"]]}


def above_full_rank(places: Sequence[Place], rank: int, *, what: str, advice: Callable[[Place], str]) -> str | None:
    """Why the narrowest of the matrices cannot have a rank, or None.

    Args:
        places: the matrices.
        rank: asked of each.
        what: the rank in words, which begin the sentence.
        advice: what to do, given the narrowest matrix.
    """
    narrow = min(places, key=lambda place: min(place.shape))
    if rank <= min(narrow.shape):
        return None
    shape = " x ".join(map(str, narrow.shape))
    return f"{what} is above the full rank of {narrow.path}, which is {shape}; {advice(narrow)}"


def flat_spectra(places: Sequence[Place]) -> list[Float[Tensor, " _"]]:
    """Flat spectra: equal singular values, in place of those that are not known yet."""
    return [torch.ones(min(place.shape)) for place in places]


def cost(place: Place, rank: int) -> int:
    """Parameters of two factors: rank (out + in).

    Args:
        place: the matrix that they replace.
        rank: of the factors.
    """
    return rank * (place.outputs + place.inputs)


def saves(place: Place, rank: int) -> bool:
    """Whether two factors have fewer parameters than the matrix: rank (out + in) < out in.

    Args:
        place: the matrix.
        rank: of the factors.
    """
    return cost(place, rank) < place.size
