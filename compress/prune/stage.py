"""Heads, neurons, layers or width are removed for good, or weights are masked, and the model recovers."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field, model_validator
from torch import Tensor

from compress.core.errors import InputError, StageFailed
from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.sketch import Sketch
from compress.core.stage.context import Context
from compress.core.values import Fraction, Share
from compress.distill.recovering import Recovering
from compress.prune.criteria.taylor import Taylor
from compress.prune.criterion import Criterion
from compress.prune.keep import Allocation
from compress.prune.make_permanent import MakePermanent
from compress.prune.selection import best_of_each, best_of_kinds, kept_count, spread_over_kinds
from compress.prune.unfit import unfit
from compress.prune.units.pattern import Pattern
from compress.prune.weights.pattern import WeightPattern, other_than_own, own_sparsity, unused
from compress.prune.weights.plan import WeightPlan

__all__ = ["MakePermanent", "Prune"]

MASKED_BYTES = "no matter of the parameters, but of the bytes: some have lost more weights than others to the masks"


class Prune(Recovering):
    """A share of the units of a pattern, or of the weights, is removed. Then the model recovers.

    Without the heads, neurons, layers or entries of the hidden dimension the tensors are smaller. Weights become zero
    where they lie, and a mask keeps them so in all later training: the files become smaller, a forward pass no faster.
    A second pruning of weights goes on from the first, and `sparsity` is the share of both.

    As many units stay in a block as are nearest to (1 - sparsity) of it, so `uniform` leaves equal blocks equal and
    neurons in a stock architecture. `global` lets the blocks compete and leaves each at least one unit; `per_type`
    lets only blocks of one kind compete: the encoder's, the decoder's, its attention to the encoder. Where a family
    has one set of heads for a whole stack, the scores are summed over its blocks, and none compete.
    """

    pattern: Pattern = Field(description="what is removed as a whole")
    sparsity: Share = Field(description="share of the units that is removed")
    criterion: Criterion = Field(Taylor(), description="what a unit is worth")
    allocation: Allocation = Field(
        "uniform", description="the same share in each block or matrix, or the worst of each type of these, or of all"
    )
    floor: Fraction = Field(0.0, description="least share of each matrix that stays where weights compete; one does")

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
        why = why or unused(self.pattern, self.allocation, self.floor, usual="uniform")
        why = why or other_than_own(self.pattern, self.sparsity, word="sparsity")
        if why:
            raise ValueError(why)
        if self.floor > 1 - self.sparsity:
            raise ValueError(f"a floor of {self.floor:g} leaves more than sparsity {self.sparsity:g} allows")
        return self

    @property
    def decider(self) -> Criterion:
        return self.criterion

    @property
    def narrows(self) -> bool:
        return self.pattern.narrows

    def refuses(self, sketch: Sketch) -> str | None:
        why = unfit(sketch, narrows=self.narrows)
        if why:
            return f"prune cannot cut this model: {why}"
        if isinstance(self.pattern, WeightPattern):
            return self._unhealed(sketch) or self.pattern.refuses(sketch)
        try:
            sketch.family.require(self.pattern.part, stage="prune")
        except InputError as error:
            return str(error)
        return self._unhealed(sketch) or self._too_much(sketch)

    def _unhealed(self, sketch: Sketch) -> str | None:
        """Why the model cannot be scored or recover, or None."""
        return self._untrained(sketch) or super().refuses(sketch)

    def _untrained(self, sketch: Sketch) -> str | None:
        """Why a head that is not trained is in the way, or None."""
        healed = self.recover is not None and self.recover.needs_head
        if "head_trained" not in sketch.states and (healed or self.criterion.needs_labels):
            what = "recover" if healed else f"the criterion {self.criterion.name!r}"
            advice = "fine-tune first, or prune by magnitude with 'recover: none'"
            return f"{what} needs a head that is trained for the task; {advice}"
        return None

    def remarks(self, sketch: Sketch) -> tuple[str, ...]:
        return sketch.first_stack_alone if self.pattern.first_stack_alone else ()

    def guess(self, sketch: Sketch) -> Change:
        if isinstance(self.pattern, WeightPattern):
            return self._weights(self.pattern).guess()
        counts = self.pattern.counts(sketch)
        if self._competing(sketch):
            return self.pattern.change(spread_over_kinds(counts, self.sparsity, self._kinds(sketch)), counts)
        return self.pattern.change(tuple(tuple(range(kept_count(n, self.sparsity))) for n in counts), counts)

    def uncertainty(self, sketch: Sketch) -> str | None:
        if isinstance(self.pattern, WeightPattern):
            return None
        masked = "masked" in sketch.states
        if not self._competing(sketch):
            return f"which {self.pattern.part} stay is {MASKED_BYTES}" if masked else None
        stay = [
            f"{total} {self.pattern.part} stay in all{where}, between 1 and {min(max(counts), total - len(counts) + 1)}"
            " in a layer"
            for where, counts, total in self._totals(sketch)
        ]
        return f"{'; '.join(stay)}; which is {MASKED_BYTES if masked else 'hardly a matter of the size'}"

    def decide(self, bundle: Bundle, ctx: Context) -> Change:
        if isinstance(self.pattern, WeightPattern):
            return self.criterion.mask(bundle, self._weights(self.pattern), ctx)
        sketch = bundle.sketch()
        scores = self.criterion.score(bundle, self.pattern, ctx)
        ctx.note(importance={self.pattern.part: [_rounded(score) for score in scores]})
        if not all(bool(torch.isfinite(score).all()) for score in scores):
            raise StageFailed(f"a score of the {self.pattern.part} is not finite", given=self.criterion.name)
        scores = self.pattern.comparable(scores, sketch)
        competing = self._competing(sketch)
        kept = best_of_kinds(scores, self.sparsity, self._kinds(sketch)) if competing else None
        return self.pattern.change(kept or best_of_each(scores, self.sparsity), self.pattern.counts(sketch))

    def cut(self, before: Sketch, change: Change) -> dict[str, Any]:
        found = change.summary()
        kinds = () if isinstance(self.pattern, WeightPattern) else self.pattern.kinds(before)
        if len(set(kinds)) > 1:
            found[self.pattern.part]["kinds"] = list(kinds)
        return found

    def _competing(self, sketch: Sketch) -> bool:
        ties = self.pattern.ties(sketch)
        return self.allocation != "uniform" and len(ties) > 1 and len(set(ties)) == len(ties)

    def _weights(self, pattern: WeightPattern) -> WeightPlan:
        return WeightPlan(pattern, self.sparsity, self.allocation, self.floor)

    def _kinds(self, sketch: Sketch) -> tuple[str, ...]:
        """Blocks of the same kind compete."""
        kinds = self.pattern.kinds(sketch)
        return ("",) * len(kinds) if self.allocation == "global" else kinds

    def _totals(self, sketch: Sketch) -> list[tuple[str, list[int], int]]:
        """(which blocks, the units that each has, how many stay in all), of the blocks that compete."""
        pairs = list(zip(self._kinds(sketch), self.pattern.counts(sketch)))
        found = []
        for kind in dict.fromkeys(kind for kind, _ in pairs):
            counts = [count for each, count in pairs if each == kind]
            found.append((f" in the {kind}" if kind else "", counts, kept_count(sum(counts), self.sparsity)))
        return found

    def _too_much(self, sketch: Sketch) -> str | None:
        counts = self.pattern.counts(sketch)
        part, share = self.pattern.part, f"sparsity {self.sparsity}"
        if self._competing(sketch):
            few = [found for found in self._totals(sketch) if found[2] < len(found[1])]
            return next((f"{share} leaves {n} {part}{w} for {len(c)} layers; each needs one" for w, c, n in few), None)
        if kept_count(min(counts), self.sparsity) < 1:
            what = self.pattern.units or part
            return f"{share} leaves none of the {min(counts)} {what} {self.pattern.of}; choose a smaller one"
        return None


def _rounded(score: Tensor) -> list[Any]:
    return [float(f"{value:.4g}") for value in score.tolist()]
