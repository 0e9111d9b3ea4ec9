"""Positions that are never reached go."""

from __future__ import annotations

from pydantic import Field

from compress.core.errors import InputError
from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.sketch import Sketch, State
from compress.core.stage.context import Context
from compress.core.stage.stage import Stage
from compress.core.values import Count
from compress.positions.change import KeepPositions

__all__ = ["TrimPositions"]

UNFIT: tuple[tuple[State, str], ...] = (
    ("quantized", "its weights are quantized; trim before 'quantize'"),
    ("fake_quantized", "it holds fake quantisation; trim before it"),
    ("adapted", "its adapters were trained with its positions; merge them first"),
    ("masked", "it holds masks; make them permanent first"),
)


class TrimPositions(Stage):
    """The table of positions ends at the length that is served, and the tokenizer cuts longer texts there.

    A text of up to so many tokens gets the same answer as before.
    """

    length: Count = Field(description="the longest text that is served, in tokens with [CLS] and [SEP]")

    @property
    def needs_data(self) -> bool:
        return False

    def refuses(self, sketch: Sketch) -> str | None:
        if why := sketch.unfit(UNFIT):
            return f"trim_positions cannot cut this model: {why}"
        if why := sketch.family.refuses("positions", stage=self.name):
            return why
        if self.length >= sketch.positions:
            return f"the model has {sketch.positions} positions; 'length: {self.length}' cuts none"
        return None

    def check_task(self, bundle: Bundle, task: object) -> None:
        served = getattr(task, "max_length", None)
        if served is not None and self.length < served:
            raise InputError(
                f"the task's rows have up to {served} tokens, more than {self.length} positions",
                advice=f"set the task's max_length to {self.length}, or keep {served} positions",
            )

    def guess(self, sketch: Sketch) -> KeepPositions:
        return KeepPositions(length=self.length, of=sketch.positions)

    def decide(self, bundle: Bundle, ctx: Context) -> Change:
        return self.guess(bundle.sketch())
