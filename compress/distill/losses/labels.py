"""The task's own loss."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from compress.distill.loss import Loss, Seen

__all__ = ["Labels"]


class Labels(Loss):
    """The task's own loss on its labels: cross entropy, or mean square for regression."""

    needs_teacher: ClassVar[bool] = False

    def value(self, seen: Seen) -> Tensor:
        return seen.task.loss(seen.outputs, seen.batch)
