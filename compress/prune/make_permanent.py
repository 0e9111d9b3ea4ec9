"""Dropping the masks of a pruned model."""

from __future__ import annotations

from typing import ClassVar

from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.sketch import Sketch
from compress.core.model.state import State
from compress.core.stage.fixed import FixedChange
from compress.core.stage.requires import Requires

__all__ = ["DropMasks", "MakePermanent"]


class DropMasks(Change):
    """No mask holds the zeros any more; the weights stay what they are."""

    def apply(self, bundle: Bundle) -> Bundle:
        bundle.masks = {}
        bundle.states = bundle.states - {"masked"}
        return bundle


class MakePermanent(FixedChange):
    """Drop the masks of a pruned model: its zeros stay in the weights, and later training may move them.

    The model is saved as a stock architecture again, with every zero in the file.
    """

    needs: ClassVar[frozenset[State]] = frozenset({"masked"})

    def requires(self) -> Requires:
        return Requires(explicit_start=True)

    def change(self, sketch: Sketch) -> Change:
        return DropMasks()
