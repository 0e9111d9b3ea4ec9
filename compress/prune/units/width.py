"""Pruning of the hidden size."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import ClassVar

from torch import Tensor, nn

from compress.core.calibration.recording import after, before, leaf
from compress.core.families.family import Part
from compress.core.model.bundle import Bundle
from compress.core.model.sketch import Sketch
from compress.core.surgery.width import hidden_dimensions, keep_width
from compress.prune.units.changes import KeepWidth
from compress.prune.units.pattern import UnitPattern

__all__ = ["Width"]


class Width(UnitPattern):
    """The hidden size: its entries are cut out of every matrix, norm and embedding; heads keep their size.

    The gate of an entry is a factor on it in the hidden states before the first layer and after each layer. A norm
    over fewer entries is not the norm over all with some at zero, since mean and variance are of those that stay; so
    the masked model is here the cut one, whose norms leave the others out.
    """

    part: ClassVar[Part] = "width"
    units: ClassVar[str] = "entries"
    of: ClassVar[str] = "of the hidden dimension"
    narrows: ClassVar[bool] = True

    def counts(self, sketch: Sketch) -> tuple[int, ...]:
        return (sketch.hidden,)

    def weights(self, bundle: Bundle) -> list[list[Tensor]]:
        named = dict(bundle.model.named_parameters())
        found = hidden_dimensions(bundle.model, bundle.family)
        pairs = [(named[name], dim) for name, dims in found.items() if name in named for dim in dims]
        return [[tensor.movedim(dim, 0).flatten(1) for tensor, dim in pairs if tensor.dim() > 1]]

    def change(self, kept: tuple[tuple[int, ...], ...], of: tuple[int, ...]) -> KeepWidth:
        return KeepWidth(kept=kept[0], of=of[0])

    @contextmanager
    def masked(self, bundle: Bundle, kept: Sequence[Sequence[int]]) -> Iterator[None]:
        whole = bundle.model
        bundle.model = copy.deepcopy(whole)
        keep_width(bundle.model, bundle.family, tuple(kept[0]))
        try:
            yield
        finally:
            bundle.model = whole

    @contextmanager
    def gated(self, bundle: Bundle) -> Iterator[list[list[Tensor]]]:
        calls: list[Tensor] = []
        with ExitStack() as stack:
            for blocks in _block_lists(bundle):
                stack.enter_context(before(blocks[0], _once(leaf(calls))))
                for block in blocks:
                    stack.enter_context(after(block, _of_output(leaf(calls))))
            yield [calls]


def _block_lists(bundle: Bundle) -> list[list[nn.Module]]:
    """The blocks of the encoder, and of a decoder."""
    records = bundle.family.stacks(bundle.model, "output")
    return list({record.blocks: list(record.module_list(bundle.model)) for record in records}.values())


def _once(gate: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """`gate` at the first call alone: a block that runs for all layers is given its own output afterwards."""
    entered: list[bool] = []

    def first(given: Tensor) -> Tensor:
        if entered:
            return given
        entered.append(True)
        return gate(given)

    return first


def _of_output(gate: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda given, made: gate(made)
