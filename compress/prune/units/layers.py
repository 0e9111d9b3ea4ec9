"""Layer dropping."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import ClassVar

import torch
from torch import Tensor

from compress.core.calibration.recording import after, leaf
from compress.core.families.family import Part
from compress.core.model.bundle import Bundle
from compress.core.model.sketch import Sketch
from compress.core.surgery.changes import KeepLayers
from compress.prune.units.pattern import UnitPattern

__all__ = ["Layers"]


class Layers(UnitPattern):
    """Whole layers: the output of the layer before a dropped one is the input of the one after. Of two stacks, the
    encoder's.

    The gate of a layer is a factor on what it adds to its input.
    """

    part: ClassVar[Part] = "layers"
    of: ClassVar[str] = "of the model"
    first_stack_alone: ClassVar[bool] = True

    def counts(self, sketch: Sketch) -> tuple[int, ...]:
        return (sketch.layers,)

    def fixed(self, sketch: Sketch) -> tuple[tuple[int, ...], ...]:
        return ((0,) if sketch.family.needs_first_layer else (),)

    def weights(self, bundle: Bundle) -> list[list[Tensor]]:
        blocks = bundle.family.module_list(bundle.model)
        rows = [torch.cat([p.detach().reshape(-1) for p in block.parameters() if p.dim() > 1]) for block in blocks]
        # Blocks may have lost different units before, so that their rows differ in length; a row's norm is enough.
        return [[torch.stack([row.float().norm() for row in rows])[:, None]]]

    def change(self, kept: tuple[tuple[int, ...], ...], of: tuple[int, ...]) -> KeepLayers:
        return KeepLayers(kept=kept[0], of=of[0])

    @contextmanager
    def masked(self, bundle: Bundle, kept: Sequence[Sequence[int]]) -> Iterator[None]:
        with ExitStack() as stack:
            for number, block in enumerate(bundle.family.module_list(bundle.model)):
                if number not in kept[0]:
                    stack.enter_context(after(block, lambda given, made: given))
            yield

    @contextmanager
    def gated(self, bundle: Bundle) -> Iterator[list[list[Tensor]]]:
        blocks = bundle.family.module_list(bundle.model)
        seen: list[list[Tensor]] = [[] for _ in blocks]
        with ExitStack() as stack:
            for block, calls in zip(blocks, seen):
                stack.enter_context(after(block, _added(leaf(calls))))
            yield seen

    def gate_units(self, sketch: Sketch) -> tuple[int, ...]:
        return (1,) * sketch.layers

    def grouped(self, slopes: Sequence[Tensor]) -> list[Tensor]:
        return [torch.cat(list(slopes), dim=1)]


def _added(gate: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """What a block adds to its input, through a gate."""
    return lambda given, made: given + gate(made - given)
