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
    """A score for each unit of each group; the units with the lowest scores are removed."""

    home: ClassVar[str] = "compress.prune.criteria"
    needs_data: ClassVar[bool] = False
    """Whether it reads *train*."""
    needs_labels: ClassVar[bool] = False
    """Whether it reads the loss, so that the head must be trained for the task."""
    draws_random_numbers: ClassVar[bool] = False

    def score(self, bundle: Bundle, pattern: Pattern, ctx: Context) -> list[Float[Tensor, " units"]]:
        """One score for each unit of each group, comparable between groups; higher stays. The model stays as it is."""
        raise NotImplementedError

    def refuses(self, pattern: Pattern) -> str | None:
        """Why it cannot score such units, or None."""
        return None
