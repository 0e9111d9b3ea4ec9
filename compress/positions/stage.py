"""Trimming of learned position embeddings to the longest text that is served."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from compress.core.errors import InputError
from compress.core.model.bundle import Bundle
from compress.core.model.sketch import Sketch
from compress.core.model.state import State
from compress.core.stage.declaration import UNMERGED
from compress.core.stage.fixed import FixedChange
from compress.core.stage.task import TaskView
from compress.core.values import Count
from compress.positions.change import KeepPositions

__all__ = ["TrimPositions"]


class TrimPositions(FixedChange):
    """Position embedding trimming: rows beyond `length` are removed, and the tokenizer truncates longer texts there.

    A text of up to `length` tokens has the same outputs as before.
    """

    forbids: ClassVar[frozenset[State]] = UNMERGED | {"masked"}

    length: Count = Field(description="the longest text that is served, in tokens, special ones included")

    def refusal(self, sketch: Sketch) -> str | None:
        if why := sketch.family.refuses("positions", stage=self.name):
            return why
        if self.length >= sketch.positions:
            return f"the model has {sketch.positions} positions; 'length: {self.length}' removes none"
        return None

    def check(self, bundle: Bundle, task: TaskView | None) -> None:
        served = task.longest_row() if task else None
        if served is not None and self.length < served:
            raise InputError(
                f"the task's rows have up to {served} tokens, more than {self.length} positions",
                advice=f"set the task's max_length to {self.length}, or keep {served} positions",
            )

    def change(self, sketch: Sketch) -> KeepPositions:
        return KeepPositions(length=self.length, of=sketch.positions)
