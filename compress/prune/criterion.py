"""What a unit is worth."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from compress.core.bundle import Bundle
from compress.core.choice import Choice
from compress.core.context import Context
from compress.prune.pattern import Pattern

__all__ = ["Criterion"]


class Criterion(Choice):
    """A score for each unit of each block; the units with the lowest scores are removed."""

    home: ClassVar[str] = "compress.prune.criteria"
    needs_data: ClassVar[bool] = False
    """Whether it reads *train*, with a model whose head is trained."""
    draws_random_numbers: ClassVar[bool] = False

    def score(self, bundle: Bundle, pattern: Pattern, ctx: Context) -> list[Float[Tensor, " units"]]:
        """One score for each unit of each block, comparable between blocks; higher stays. The model stays as it is."""
        raise NotImplementedError
