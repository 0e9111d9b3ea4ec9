"""Hard target loss: the task's own, on its labels."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from compress.distill.loss import Loss, Seen

__all__ = ["Labels"]


class Labels(Loss):
    """Hard target loss: cross entropy with the task's labels, or mean squared error for regression; no teacher."""

    needs_teacher: ClassVar[bool] = False

    def value(self, seen: Seen) -> Tensor:
        return seen.task.loss(seen.outputs, seen.batch)
