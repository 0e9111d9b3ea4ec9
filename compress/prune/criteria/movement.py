"""Movement pruning: whether a weight moves away from zero while the model is trained."""

from __future__ import annotations

from pydantic import Field, model_validator

from compress.core.model.bundle import Bundle
from compress.core.values import Positive, Share
from compress.prune.gradual.criterion import LearnedCriterion
from compress.prune.gradual.movement import LearnedScores, Soft
from compress.prune.gradual.ramp import Ramp

__all__ = ["Movement"]


class Movement(LearnedCriterion):
    """Movement pruning: scores learned in training; a weight that moves away from zero stays, however small it is.

    hard: the highest sums of -dL/dW' W stay. soft: the scores have a learning rate and a penalty, and what lies under
    a threshold is cut before the schedule asks for it. Either way the last sparsity is exact. It works in a training
    alone, under `during: gradual`. Begin with a model whose head is trained, where the training is short: before that,
    the gradients say little of the encoder, and the scores are noise when the cuts begin.

    References:
        Sanh, Wolf and Rush 2020, arXiv 2005.07683, sections 4 and 5; the defaults are of the authors' code.
    """

    soft: bool = Field(False, description="whether a threshold and a penalty choose, not the order of the scores alone")
    threshold: Share = Field(0.1, description="of sigmoid(score), at the end of the schedule; soft")
    penalty: Positive = Field(400.0, description="lambda, of the mean of sigmoid(score); soft")
    learning_rate: Positive = Field(1e-2, description="of the scores; soft")

    @model_validator(mode="after")
    def _of_soft(self) -> Movement:
        given = sorted(self.model_fields_set & {"threshold", "penalty", "learning_rate"})
        if given and not self.soft:
            raise ValueError(f"{', '.join(given)} belongs to soft movement; add `soft: true`, or leave it out")
        return self

    def bytes_per_weight(self) -> int:
        """The score, the mask as a number, the weight while it is masked; the score's two moments."""
        return 20 if self.soft else 12

    def hook(self, bundle: Bundle, ramp: Ramp) -> LearnedScores:
        soft = Soft(self.threshold, self.penalty, self.learning_rate) if self.soft else None
        return LearnedScores(bundle, ramp, soft=soft)
