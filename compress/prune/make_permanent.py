"""The zeros become weights like any other."""

from __future__ import annotations

from typing import ClassVar

from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.sketch import Sketch
from compress.core.stage.context import Context
from compress.core.stage.stage import Stage

__all__ = ["DropMasks", "MakePermanent"]


class DropMasks(Change):
    """No mask holds the zeros any more; the weights stay what they are."""

    def apply(self, bundle: Bundle) -> Bundle:
        bundle.masks = {}
        bundle.states = bundle.states - {"masked"}
        return bundle


class MakePermanent(Stage):
    """Drop the masks of a pruned model: its zeros stay in the weights, and later training may move them.

    The model is saved as a stock architecture again, with every zero in the file.
    """

    explicit_start_after_export: ClassVar[bool] = True

    @property
    def needs_data(self) -> bool:
        return False

    def refuses(self, sketch: Sketch) -> str | None:
        return (
            None
            if "masked" in sketch.states
            else "the model holds no masks; put 'prune' with a pattern of weights before"
        )

    def guess(self, sketch: Sketch) -> Change:
        return DropMasks()

    def decide(self, bundle: Bundle, ctx: Context) -> Change:
        return DropMasks()
