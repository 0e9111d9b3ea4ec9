"""Neurons of the feed-forward network."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from compress.core.families.family import Family, Part, has
from compress.core.matrix import part_matrix
from compress.core.sketch import Sketch
from compress.prune.change import KeepNeurons
from compress.prune.pattern import Pattern

__all__ = ["Neurons"]


class Neurons(Pattern):
    """Feed-forward neurons: rows of the first linear (and of the gate), and columns of the second."""

    part: ClassVar[Part] = "neurons"
    role: ClassVar[str] = "down"

    def counts(self, sketch: Sketch) -> tuple[int, ...]:
        return sketch.neurons

    def weights(self, block: nn.Module, family: Family, *, head_size: int) -> list[Tensor]:
        gated = family.gate is not None and has(block, family.path(block, "gate"))
        inner = [part_matrix(block, family, role) for role in (("up", "gate") if gated else ("up",))]
        return [*inner, part_matrix(block, family, "down").T]

    def change(self, kept: tuple[tuple[int, ...], ...], of: tuple[int, ...]) -> KeepNeurons:
        return KeepNeurons(kept=kept, of=of)
