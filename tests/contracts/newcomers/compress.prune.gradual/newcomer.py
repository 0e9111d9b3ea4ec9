"""Something that goes on inside a training, and is not there yet."""

from __future__ import annotations

from typing import Any

from torch import nn

from compress.core.model.bundle import Bundle
from compress.core.stage.context import Context
from compress.core.stage.during import During, DuringHook


class Newcomer(During):
    """The optimiser steps are counted."""

    def hook(self, bundle: Bundle, ctx: Context) -> DuringHook:
        return Counted()


class Counted(DuringHook):
    steps = 0

    def after_step(self, model: nn.Module, progress: float) -> None:
        self.steps += 1

    def finish(self) -> dict[str, Any]:
        return {"steps": self.steps}
