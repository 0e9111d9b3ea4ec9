"""A loss that is not there yet."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from compress.distill.loss import Loss, Seen


class Newcomer(Loss):
    """L1 distance between the logits of student and teacher."""

    def value(self, seen: Seen) -> Tensor:
        return F.l1_loss(seen.student().values.float(), seen.teacher().values.float())
