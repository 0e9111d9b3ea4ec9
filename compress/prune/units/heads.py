"""Head pruning."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from compress.core.families.family import Family, Part
from compress.core.model.bundle import Bundle
from compress.core.model.matrix import part_matrix
from compress.core.model.sketch import Sketch
from compress.prune.units.changes import KeepHeads
from compress.prune.units.pattern import UnitPattern

__all__ = ["Heads"]


class Heads(UnitPattern):
    """Attention heads: rows of query, key and value, and columns of the output."""

    part: ClassVar[Part] = "heads"
    role: ClassVar[str] = "output"

    def counts(self, sketch: Sketch) -> tuple[int, ...]:
        return sketch.heads

    def kinds(self, sketch: Sketch) -> tuple[str, ...]:
        return sketch.head_stacks

    def ties(self, sketch: Sketch) -> tuple[int, ...]:
        if not sketch.family.one_set_of_heads:
            return super().ties(sketch)
        return tuple(map(sketch.head_stacks.index, sketch.head_stacks))

    def weights(self, bundle: Bundle) -> list[list[Tensor]]:
        config = bundle.config
        groups = bundle.family.groups(bundle.model, self.role)
        return [_weights(block, record, record.head_size(config)) for block, record in groups]

    def change(self, kept: tuple[tuple[int, ...], ...], of: tuple[int, ...]) -> KeepHeads:
        return KeepHeads(kept=kept, of=of)


def _weights(block: nn.Module, record: Family, size: int) -> list[Tensor]:
    inner = [part_matrix(block, record, role, head_size=size) for role in ("query", "key", "value")]
    outer = part_matrix(block, record, "output", head_size=size).T
    units = outer.shape[0] // size
    return [matrix.reshape(units, -1) for matrix in (*inner, outer)]
