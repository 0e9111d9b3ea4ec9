"""Pruning of the feed-forward networks' intermediate size."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from compress.core.families.family import Family, Part, has
from compress.core.model.bundle import Bundle
from compress.core.model.matrix import part_matrix
from compress.core.model.sketch import Sketch
from compress.prune.units.changes import KeepNeurons
from compress.prune.units.pattern import UnitPattern

__all__ = ["Neurons"]


class Neurons(UnitPattern):
    """Feed-forward neurons: rows of the first linear (and of the gate), and columns of the second."""

    part: ClassVar[Part] = "neurons"
    role: ClassVar[str] = "down"

    def counts(self, sketch: Sketch) -> tuple[int, ...]:
        return sketch.neurons

    def kinds(self, sketch: Sketch) -> tuple[str, ...]:
        return sketch.neuron_stacks

    def weights(self, bundle: Bundle) -> list[list[Tensor]]:
        return [_weights(block, record) for block, record in bundle.family.groups(bundle.model, self.role)]

    def change(self, kept: tuple[tuple[int, ...], ...], of: tuple[int, ...]) -> KeepNeurons:
        return KeepNeurons(kept=kept, of=of)


def _weights(block: nn.Module, record: Family) -> list[Tensor]:
    gated = record.gate is not None and has(block, record.path(block, "gate"))
    inner = [part_matrix(block, record, role) for role in (("up", "gate") if gated else ("up",))]
    return [*inner, part_matrix(block, record, "down").T]
