"""Heads or neurons are removed for good, or weights are masked, and the model recovers."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator
from torch import Tensor

from compress.core.bundle import Bundle
from compress.core.change import Change
from compress.core.context import Context
from compress.core.errors import InputError
from compress.core.settings import Fraction
from compress.core.sketch import Sketch
from compress.core.stage import Stage
from compress.core.training import TrainPlan
from compress.distill.recover import MaybeRecover, Recover, heal, teacher_of_recovery
from compress.prune.criteria.taylor import Taylor
from compress.prune.criterion import Criterion, Share
from compress.prune.keep import Allocation
from compress.prune.pattern import Pattern
from compress.prune.permanent import MakePermanent
from compress.prune.selection import best_of_all, best_of_each, kept_count, spread
from compress.prune.unfit import unfit
from compress.prune.weight_pattern import WeightPattern, own_sparsity
from compress.prune.weights import WeightPlan

__all__ = ["MakePermanent", "Prune"]

SAME = 1e-4
"""Shares nearer than this are the same."""


class Prune(Stage):
    """A share of the heads, neurons or weights is removed. Then the model recovers.

    Without those heads and neurons the tensors are smaller. Weights become zero where they lie, and a mask keeps them
    so in all later training: the files become smaller, a forward pass no faster. A second pruning of weights goes on
    from the first, and `sparsity` is the share of both.

    As many units stay in a block as are nearest to (1 - sparsity) of it, so `uniform` leaves equal blocks equal and
    neurons in a stock architecture. `global` lets the blocks compete and leaves each at least one unit. Where a
    family has one set of heads for the whole stack, the scores are summed over the blocks.
    """

    pattern: Pattern = Field(description="what is removed as a whole")
    sparsity: Share = Field(description="share of the units that is removed")
    criterion: Criterion = Field(Taylor(), description="what a unit is worth")
    allocation: Allocation = Field(
        "uniform", description="the same share in each block or matrix, the worst of each type, or of all"
    )
    floor: Fraction = Field(0.0, description="least share of each matrix that stays where weights compete; one does")
    recover: MaybeRecover = Field(Recover(), description="the training afterwards, or `none`")

    @model_validator(mode="before")
    @classmethod
    def _own_sparsity(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "pattern" not in value:
            return value
        own = own_sparsity(value["pattern"])
        return value if own is None or "sparsity" in value else {**value, "sparsity": own}

    @model_validator(mode="after")
    def _fits(self) -> Prune:
        why = self.criterion.unfit(self.pattern, self.allocation)
        if why:
            raise ValueError(why)
        own = own_sparsity(self.pattern)
        if own is not None and abs(own - self.sparsity) > SAME:
            raise ValueError(f"the pattern itself cuts {own:g} of the weights; leave 'sparsity' out")
        if self.floor > 1 - self.sparsity:
            raise ValueError(f"a floor of {self.floor:g} leaves more than sparsity {self.sparsity:g} allows")
        return self

    @property
    def draws_random_numbers(self) -> bool:
        return self.criterion.draws_random_numbers or self.recover is not None

    @property
    def needs_data(self) -> bool:
        return self.criterion.needs_data or self.recover is not None

    def plan(self) -> TrainPlan | None:
        return self.recover.plan() if self.recover else None

    def refuses(self, sketch: Sketch) -> str | None:
        why = unfit(sketch)
        if why:
            return f"prune cannot cut this model: {why}"
        if isinstance(self.pattern, WeightPattern):
            return self._untrained(sketch) or self.pattern.refuses(sketch)
        try:
            sketch.family.require(self.pattern.part, stage="prune")
        except InputError as error:
            return str(error)
        return self._untrained(sketch) or self._too_much(sketch)

    def _untrained(self, sketch: Sketch) -> str | None:
        """Why a head that is not trained is in the way, or None."""
        scored = self.criterion.needs_data and self.criterion.needs_head
        if "head_trained" not in sketch.states and (scored or self.recover is not None):
            what = "recover" if self.recover else f"the criterion {self.criterion.name!r}"
            advice = "fine-tune first, or prune by magnitude with 'recover: none'"
            return f"{what} needs a head that is trained for the task; {advice}"
        return None

    def guess(self, sketch: Sketch) -> Change:
        if isinstance(self.pattern, WeightPattern):
            return self._weights(self.pattern).guess()
        counts = self.pattern.counts(sketch)
        if self._competing(sketch):
            return self.pattern.change(spread(counts, self.sparsity), counts)
        return self.pattern.change(tuple(tuple(range(kept_count(n, self.sparsity))) for n in counts), counts)

    def uncertainty(self, sketch: Sketch) -> str | None:
        if not self._competing(sketch) or isinstance(self.pattern, WeightPattern):
            return None
        counts = self.pattern.counts(sketch)
        total = kept_count(sum(counts), self.sparsity)
        most = min(max(counts), total - len(counts) + 1)
        stay = f"{total} {self.pattern.part} stay in all, between 1 and {most} in a layer"
        return f"{stay}; the size does not depend on which"

    def decide(self, bundle: Bundle, ctx: Context) -> Change:
        if isinstance(self.pattern, WeightPattern):
            return self.criterion.mask(bundle, self._weights(self.pattern), ctx)
        sketch = bundle.sketch()
        scores = self.criterion.score(bundle, self.pattern, ctx)
        ctx.note(importance={self.pattern.part: [_rounded(score) for score in scores]})
        if self.pattern.one_set(sketch.family):
            scores = [sum(scores[1:], scores[0])] * len(scores)
        choose = best_of_all if self._competing(sketch) else best_of_each
        return self.pattern.change(choose(scores, self.sparsity), self.pattern.counts(sketch))

    def run(self, bundle: Bundle, ctx: Context) -> Bundle:
        change = self.decide(bundle, ctx)
        teacher = teacher_of_recovery(self.recover, bundle, ctx)
        pruned = self.apply(bundle, change)
        return heal(pruned, self.recover, ctx, teacher=teacher) if self.recover else pruned

    def _competing(self, sketch: Sketch) -> bool:
        return self.allocation != "uniform" and not self.pattern.one_set(sketch.family)

    def _weights(self, pattern: WeightPattern) -> WeightPlan:
        return WeightPlan(pattern, self.sparsity, self.allocation, self.floor)

    def _too_much(self, sketch: Sketch) -> str | None:
        counts = self.pattern.counts(sketch)
        part = self.pattern.part
        if self._competing(sketch):
            total = kept_count(sum(counts), self.sparsity)
            if total < len(counts):
                return f"sparsity {self.sparsity} leaves {total} {part} for {len(counts)} layers; each needs one"
            return None
        if kept_count(min(counts), self.sparsity) < 1:
            return f"sparsity {self.sparsity} leaves none of the {min(counts)} {part} of a layer; choose a smaller one"
        return None


def _rounded(score: Tensor) -> list[Any]:
    return [float(f"{value:.4g}") for value in score.tolist()]
