"""Attention heads."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from compress.core.families.family import Family, Part
from compress.core.matrix import part_matrix
from compress.core.sketch import Sketch
from compress.prune.change import KeepHeads
from compress.prune.pattern import Pattern

__all__ = ["Heads"]


class Heads(Pattern):
    """Attention heads: rows of query, key and value, and columns of the output."""

    part: ClassVar[Part] = "heads"
    role: ClassVar[str] = "output"

    def counts(self, sketch: Sketch) -> tuple[int, ...]:
        return sketch.heads

    def one_set(self, family: Family) -> bool:
        return family.one_set_of_heads

    def weights(self, block: nn.Module, family: Family, *, head_size: int) -> list[Tensor]:
        inner = [part_matrix(block, family, role, head_size=head_size) for role in ("query", "key", "value")]
        outer = part_matrix(block, family, "output", head_size=head_size).T
        units = outer.shape[0] // head_size
        return [matrix.reshape(units, -1) for matrix in (*inner, outer)]

    def change(self, kept: tuple[tuple[int, ...], ...], of: tuple[int, ...]) -> KeepHeads:
        return KeepHeads(kept=kept, of=of)
