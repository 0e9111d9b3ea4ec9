"""How many outer products are kept of each matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from jaxtyping import Float
from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema
from torch import Tensor

from compress.core.choice import Choice
from compress.core.places import Place

__all__ = ["Rank", "cost", "saves"]


class Rank(Choice):
    """The rank of each matrix's factors. A plain number is that rank for all."""

    home: ClassVar[str] = "compress.factorize.ranks"
    from_shapes: ClassVar[bool] = True
    """Whether the shapes of the matrices alone decide it."""

    def refuses(self, places: Sequence[Place]) -> str | None:
        """Why matrices of such shapes cannot have this rank, or None."""
        return None

    def ranks(self, places: Sequence[Place], spectra: Sequence[Float[Tensor, " k"]]) -> tuple[int, ...]:
        """The rank of each matrix, also where its factors would be larger than itself.

        Args:
            places: the matrices.
            spectra: their singular values, descending. Equal ones give the largest ranks that any could.
        """
        raise NotImplementedError

    @classmethod
    def parse(cls, value: Any) -> Any:
        return super().parse({"number": value} if isinstance(value, int) and not isinstance(value, bool) else value)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        found = super().__get_pydantic_json_schema__(schema, handler)
        if not cls.is_set():
            return found
        return {"anyOf": [{"type": "integer", "minimum": 1, "description": "that rank for all"}, *found["anyOf"]]}


def cost(place: Place, rank: int) -> int:
    """Numbers in two factors of this rank."""
    return rank * (place.outputs + place.inputs)


def saves(place: Place, rank: int) -> bool:
    """Whether two factors of this rank are smaller than the matrix."""
    return cost(place, rank) < place.size
