"""Gradual pruning, as a setting of a training."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, model_validator

from compress.core.fit.plan import TrainPlan
from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.sketch import Sketch
from compress.core.model.state import State
from compress.core.stage.context import Context
from compress.core.stage.during import During
from compress.core.values import Count, Fraction, Share
from compress.prune.criteria.magnitude import Magnitude
from compress.prune.criterion import Criterion
from compress.prune.forbidden import forbidden
from compress.prune.gradual.criterion import LearnedCriterion
from compress.prune.gradual.hook import GradualMasks, GradualPruning
from compress.prune.gradual.ramp import Ramp
from compress.prune.gradual.schedule import Schedule
from compress.prune.gradual.schedules.cubic import Cubic
from compress.prune.pattern import Pattern
from compress.prune.plan import Allocation
from compress.prune.weights.criterion import WeightScoreCriterion
from compress.prune.weights.elements import Elements
from compress.prune.weights.pattern import WeightPattern

__all__ = ["Gradual"]


class Gradual(During):
    """Gradual pruning: sparsity grows from one value to another while the model is trained; then the masks are held.

    What is masked, the sparsity and the allocation are those of `prune`, and the last sparsity is as exact. The
    first cut comes when the share `start` of all steps is done, the last at `end`; the rest of the training recovers
    from it. n of m goes by whole numbers: 3 of 4, then 2 of 4.

    References:
        Zhu and Gupta 2017, arXiv 1710.01878, eq. 1.
    """

    model_config = ConfigDict(populate_by_name=True)

    to: Share = Field(description="share of the weights that is masked at the end")
    from_: Fraction = Field(0.0, alias="from", description="share at the start")
    schedule: Schedule = Field(Cubic(), description="how fast the share grows")
    start: Fraction = Field(0.1, description="share of the training's steps before the first cut")
    end: Annotated[float, Field(gt=0, le=1)] = Field(
        0.7, description="share of the steps when the last share is reached"
    )
    every: Count = Field(10, description="steps from one cut to the next")
    pattern: Pattern = Field(Elements(), description="elements, blocks or n_m")
    criterion: Criterion = Field(Magnitude(), description="importance of a weight: magnitude, movement or random")
    allocation: Allocation = Field("global", description="who competes: all weights, those of a type, or of a matrix")
    floor: Fraction = Field(0.0, description="least share of each matrix that stays where several compete; one does")

    @model_validator(mode="before")
    @classmethod
    def _own_sparsity(cls, value: Any) -> Any:
        return Pattern.with_own_sparsity(value, word="to")

    @model_validator(mode="after")
    def _fits(self) -> Gradual:
        if self.end <= self.start:
            raise ValueError(f"`end` ({self.end:g}) must lie behind `start` ({self.start:g})")
        if self.to < self.from_:
            raise ValueError(f"sparsity grows: `to` ({self.to:g}) must not lie below `from` ({self.from_:g})")
        if self.floor > 1 - self.to:
            raise ValueError(f"a floor of {self.floor:g} leaves more than `to: {self.to:g}` allows")
        why = self._refused_pattern() or self._refused_criterion()
        why = why or self.pattern.unused(self.allocation, self.floor, usual="global")
        if why:
            raise ValueError(why)
        return self

    def forbids(self, sketch: Sketch) -> frozenset[State]:
        return forbidden(sketch)

    def refuses(self, sketch: Sketch) -> str | None:
        return self._weights().refuses(sketch)

    def refuses_plan(self, plan: TrainPlan) -> str | None:
        if plan.patience:
            return (
                "an early stop brings back weights from before the last cuts; leave out `patience`, or prune before "
                "this training"
            )
        return None

    def guess(self) -> Change:
        plan = self._ramp().plan(self.to)
        return super().guess() if plan is None else plan.evenly()

    def bytes_per_weight(self) -> int:
        return self.criterion.bytes_per_weight() if isinstance(self.criterion, LearnedCriterion) else 0

    def hook(self, bundle: Bundle, ctx: Context) -> GradualMasks:
        match self.criterion:
            case LearnedCriterion() as learned:
                return learned.hook(bundle, self._ramp())
            case WeightScoreCriterion() as scores:
                return GradualPruning(bundle, self._ramp(), scores, ctx)
        raise TypeError(self._refused_criterion())

    def _ramp(self) -> Ramp:
        return Ramp(
            schedule=self.schedule,
            first=self.from_,
            last=self.to,
            start=self.start,
            end=self.end,
            every=self.every,
            pattern=self._weights(),
            allocation=self.allocation,
            floor=self.floor,
        )

    def _weights(self) -> WeightPattern:
        if not isinstance(self.pattern, WeightPattern):
            raise TypeError(self._refused_pattern())
        return self.pattern

    def _refused_pattern(self) -> str | None:
        """Why these units cannot be masked little by little, or None."""
        if not isinstance(self.pattern, WeightPattern):
            return (
                f"{self.pattern.name} are cut out for good, by the stage `prune`; inside a training weights are masked"
            )
        return self.pattern.contradicts(self.to, word="to")

    def _refused_criterion(self) -> str | None:
        """Why the criterion cannot choose again and again while a model is trained, or None."""
        criterion = self.criterion
        if isinstance(criterion, LearnedCriterion):
            return None
        if criterion.needs_data:
            return f"{criterion.name} reads data for its scores; in a training take magnitude, movement or random"
        if not isinstance(criterion, WeightScoreCriterion):
            return f"{criterion.name} scores {criterion.scores}, and a training masks by a score of each weight"
        return criterion.refuses(self.pattern, self.allocation)
