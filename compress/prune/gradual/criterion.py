"""Importance that is learned in the training itself, and is there at no other time."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from compress.core.model.bundle import Bundle
from compress.prune.criterion import Criterion
from compress.prune.gradual.hook import GradualMasks
from compress.prune.gradual.ramp import Ramp
from compress.prune.pattern import Pattern
from compress.prune.plan import Allocation

__all__ = ["LearnedCriterion"]


class LearnedCriterion(Criterion):
    """A score for each weight, learned inside a training alone."""

    scores: ClassVar[str] = "single weights, in a training"

    @abstractmethod
    def hook(self, bundle: Bundle, ramp: Ramp) -> GradualMasks:
        """What learns the scores inside a fit, and masks more and more of the weights by them.

        Args:
            bundle: is trained; its masks are replaced.
            ramp: how much is masked, when.
        """

    @abstractmethod
    def bytes_per_weight(self) -> int:
        """Memory for each weight while the model is trained, besides its mask."""

    def refuses(self, pattern: Pattern, allocation: Allocation) -> str | None:
        return (
            f"{self.name} learns its scores in a training; write it into one: "
            f"`during: {{gradual: {{to: 0.9, criterion: {self.name}}}}}` of finetune or distill"
        )
