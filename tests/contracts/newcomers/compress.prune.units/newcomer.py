"""A structured pattern that is not there yet."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from compress.core.families.family import Part
from compress.core.model.bundle import Bundle
from compress.core.model.matrix import part_matrix
from compress.core.model.sketch import Sketch
from compress.prune.units.changes import KeepNeurons
from compress.prune.units.pattern import UnitPattern


class Newcomer(UnitPattern):
    """Feed-forward neurons, weighed by what leaves them: columns of the second linear."""

    part: ClassVar[Part] = "neurons"
    role: ClassVar[str] = "down"

    def counts(self, sketch: Sketch) -> tuple[int, ...]:
        return sketch.neurons

    def weights(self, bundle: Bundle) -> list[list[Tensor]]:
        groups = bundle.family.groups(bundle.model, self.role)
        return [[part_matrix(block, record, self.role).T] for block, record in groups]

    def change(self, kept: tuple[tuple[int, ...], ...], of: tuple[int, ...]) -> KeepNeurons:
        return KeepNeurons(kept=kept, of=of)
