"""The teacher's logits."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from compress.distill.loss import Loss, Seen

__all__ = ["Logits", "logit_mean_square"]


class Logits(Loss):
    """Logit matching: mean squared error between the student's and the teacher's logits; no temperature.

    L = mean over rows and labels of (z_student - z_teacher)^2. Up to constants it is what the divergence of
    `soft_targets` tends to as its temperature grows, where the logits of each row have the mean zero.

    References:
        Ba and Caruana 2014, arXiv 1312.6184, eq. 1; Kim et al. 2021, arXiv 2105.08919, section 2.
    """

    def value(self, seen: Seen) -> Tensor:
        return logit_mean_square(seen.student().values, seen.teacher().values)


def logit_mean_square(student: Float[Tensor, "*items"], teacher: Float[Tensor, "*items"]) -> Float[Tensor, ""]:
    """(student - teacher)^2, averaged over all entries: the paper's sum over labels, divided by their number.

    Args:
        student: logits, (items, labels): an item is a row, or a token where rows are answered token by token.
        teacher: logits to the same items, of the same shape.

    References:
        Ba and Caruana 2014, arXiv 1312.6184, eq. 1, without its factor of a half.
    """
    return F.mse_loss(student.float(), teacher.float())
