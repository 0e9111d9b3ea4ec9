"""Soft target loss: divergence from the teacher's distribution at a temperature."""

from __future__ import annotations

from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from compress.core.values import Positive
from compress.distill.loss import Loss, Seen

__all__ = ["SoftTargets", "soft_target_divergence"]


class SoftTargets(Loss):
    """Soft target loss: T^2 KL(teacher || student) of the softmax at temperature T; mean squared error for regression.

    References:
        Hinton et al. 2015, arXiv 1503.02531, section 2; Sanh et al. 2019, arXiv 1910.01108, section 2.
    """

    temperature: Positive = Field(2.0, description="T, divides the logits of both models; higher is softer")

    def value(self, seen: Seen) -> Tensor:
        return seen.task.divergence(seen.student(), seen.teacher(), temperature=self.temperature)


def soft_target_divergence(
    student: Float[Tensor, "batch labels"], teacher: Float[Tensor, "batch labels"], *, temperature: float
) -> Float[Tensor, ""]:
    """KL(softmax(teacher / T) || softmax(student / T)) T^2, averaged over the batch.

    T^2 keeps the size of the gradient independent of T, so that a weight means the same at each temperature.

    Args:
        student: logits.
        teacher: logits.
        temperature: T, above 0.

    References:
        Hinton et al. 2015, arXiv 1503.02531, section 2; Sanh et al. 2019, arXiv 1910.01108, section 2.
    """
    answers = F.log_softmax(student.float() / temperature, dim=-1)
    targets = F.log_softmax(teacher.float() / temperature, dim=-1)
    return F.kl_div(answers, targets, log_target=True, reduction="batchmean") * temperature**2
