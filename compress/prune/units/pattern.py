"""Structured pruning patterns: units that are removed as a whole."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from compress.core.calibration.recording import recorded_inputs
from compress.core.families.family import Part
from compress.core.fit.protocol import Objective
from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.evaluation import Batch
from compress.core.model.sketch import Sketch
from compress.prune.pattern import Pattern
from compress.prune.plan import Allocation
from compress.prune.units.gating import gradients_at, inputs_gated
from compress.prune.units.plan import UnitPlan
from compress.prune.units.selection import together

__all__ = ["UnitPattern"]

Kept = tuple[tuple[int, ...], ...]


class UnitPattern(Pattern):
    """Units that can go without changing what the others compute, in groups: the heads of each block, the layers of a
    model. The members say how many there are, what belongs to each, and how one is switched off.
    """

    part: ClassVar[Part]
    role: ClassVar[str] = ""
    """The linear whose inputs the units are: a unit is off where its inputs are zero."""
    units: ClassVar[str] = ""
    """What they are called; as the part unless given."""
    of: ClassVar[str] = "of a layer"
    """What a group is, in words."""

    @abstractmethod
    def counts(self, sketch: Sketch) -> tuple[int, ...]:
        """How many units each group has."""

    def kinds(self, sketch: Sketch) -> tuple[str, ...]:
        """What each group is of: the encoder, the decoder, its attention to the encoder; '' where all are alike."""
        return ("",) * len(self.counts(sketch))

    def ties(self, sketch: Sketch) -> tuple[int, ...]:
        """A number for each group; groups with the same one must keep the same units."""
        return tuple(range(len(self.counts(sketch))))

    def fixed(self, sketch: Sketch) -> Kept:
        """The units of each group that must stay."""
        return ((),) * len(self.counts(sketch))

    def comparable(self, scores: Sequence[Float[Tensor, " units"]], sketch: Sketch) -> list[Float[Tensor, " units"]]:
        """Copies of the scores as they are compared: summed over tied groups, and those that must stay above all.

        Args:
            scores: of each unit of each group.
            sketch: of the model.
        """
        found = together(scores, self.ties(sketch))
        for score, units in zip(found, self.fixed(sketch)):
            score[list(units)] = inf
        return found

    @abstractmethod
    def weights(self, bundle: Bundle) -> list[list[Float[Tensor, "units _"]]]:
        """The weights (without biases) that go with each unit of each group, one row for each unit."""

    @abstractmethod
    def change(self, kept: Kept, of: tuple[int, ...]) -> Change:
        """The change that leaves the units `kept` of each group.

        Args:
            kept: ascending numbers of the units that stay, of each group.
            of: units of each group before.
        """

    def plan(self, sparsity: float, *, allocation: Allocation = "uniform", floor: float = 0.0) -> UnitPlan:
        return UnitPlan(self, sparsity, allocation)

    def unused(self, allocation: Allocation, floor: float, *, usual: Allocation) -> str | None:
        if floor:
            return f"'floor' is of weights that compete; with {self.name} leave it out"
        return super().unused(allocation, floor, usual=usual)

    @contextmanager
    def masked(self, bundle: Bundle, kept: Sequence[Sequence[int]]) -> Iterator[None]:
        """Within it, the model computes what it does once only `kept` stays; its weights stay as they are.

        Args:
            bundle: whose model.
            kept: the units that stay, of each group.
        """
        with inputs_gated(unit_linears(bundle, self.role), kept, self.counts(bundle.sketch())):
            yield

    @contextmanager
    def gated(self, bundle: Bundle) -> Iterator[list[list[Tensor]]]:
        """Within it, what passes each gate in a forward pass is collected; a gate is a factor of one on each unit."""
        with recorded_inputs(unit_linears(bundle, self.role)) as seen:
            yield seen

    def gate_gradients(self, bundle: Bundle, batch: Batch, objective: Objective) -> list[Float[Tensor, "batch units"]]:
        """dL(row)/dgate, for each row and each unit of each group, as `gradients_at` gives it.

        Args:
            bundle: whose model.
            batch: encoded rows.
            objective: the mean of the rows' losses, each of its own row alone.
        """
        units = self.gate_units(bundle.sketch())
        return self.grouped(gradients_at(bundle, self.gated(bundle), units, batch, objective))

    def gate_units(self, sketch: Sketch) -> tuple[int, ...]:
        """How many units share the last dimension of what passes each gate."""
        return self.counts(sketch)

    def grouped(self, slopes: Sequence[Float[Tensor, "batch _"]]) -> list[Float[Tensor, "batch units"]]:
        """For each group, out of what was found at each gate."""
        return list(slopes)


def unit_linears(bundle: Bundle, role: str) -> list:
    """In each block, the linear of `role`.

    Args:
        bundle: whose model.
        role: `output`, `down`.
    """
    return [record.part(block, role) for block, record in bundle.family.groups(bundle.model, role)]
