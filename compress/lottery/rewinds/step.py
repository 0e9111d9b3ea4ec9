"""Late rewinding: to the weights of an early step of training."""

from __future__ import annotations

from pydantic import Field

from compress.core.values import Count
from compress.lottery.rewinds.rewind import Caught, Rewind

__all__ = ["Step"]


class Step(Rewind):
    """Late rewinding: to the full model's weights after `step` optimiser steps.  Frankle et al. 2020, arXiv
    1912.05671.
    """

    step: Count = Field(description="optimiser steps of the first training")

    def watch(self) -> Caught:
        return Caught(self.step)

    def check_steps(self, steps: int) -> str | None:
        if self.step <= steps:
            return None
        return f"the training has {steps} steps, so that it has no weights of step {self.step} to rewind to"
