"""The units that are removed as a whole."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from compress.core.change import Change
from compress.core.choice import Choice
from compress.core.families.family import Family, Part
from compress.core.sketch import Sketch

__all__ = ["Pattern"]


class Pattern(Choice):
    """Units of a block: each is a group of weights that can go without changing what the other units compute."""

    home: ClassVar[str] = "compress.prune.patterns"
    part: ClassVar[Part]
    role: ClassVar[str]
    """The linear whose inputs the units are: a unit is off where its inputs are zero."""

    def counts(self, sketch: Sketch) -> tuple[int, ...]:
        """How many units each block has."""
        raise NotImplementedError

    def one_set(self, family: Family) -> bool:
        """Whether all blocks must keep the same units."""
        return False

    def weights(self, block: nn.Module, family: Family, *, head_size: int) -> list[Float[Tensor, "units _"]]:
        """The weights (without biases) that go with each unit of a block, one row for each unit."""
        raise NotImplementedError

    def change(self, kept: tuple[tuple[int, ...], ...], of: tuple[int, ...]) -> Change:
        """The change that leaves the units `kept` of each block."""
        raise NotImplementedError
