"""Heads or neurons are removed for good, and the model recovers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor

from compress.core.bundle import Bundle
from compress.core.change import Change
from compress.core.context import Context
from compress.core.errors import InputError
from compress.core.sketch import Sketch, State
from compress.core.stage import Stage
from compress.core.training import TrainPlan
from compress.distill.recover import MaybeRecover, Recover, heal, teacher_of_recovery
from compress.prune.criteria.taylor import Taylor
from compress.prune.criterion import Criterion
from compress.prune.pattern import Pattern
from compress.prune.selection import best_of_all, best_of_each, kept_count, spread

__all__ = ["Prune"]

Share = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
UNFIT: tuple[tuple[State, str], ...] = (
    ("quantized", "its weights are quantized; prune before 'quantize'"),
    ("fake_quantized", "it holds fake quantisation; prune before it"),
    ("adapted", "it holds adapters; merge them first"),
    ("masked", "it holds masks; make them permanent first"),
    ("shared", "its blocks share weights; prune before 'share', or put 'untie' before this stage"),
    ("factorized", "its linears are factorized; prune before 'factorize'"),
)


class Prune(Stage):
    """A share of the heads or neurons is removed: the tensors become smaller. Then the model recovers.

    As many units stay in a block as are nearest to (1 - sparsity) of it, so `uniform` leaves equal blocks equal and
    neurons in a stock architecture. `global` lets the blocks compete and leaves each at least one unit. Where a
    family has one set of heads for the whole stack, the scores are summed over the blocks.
    """

    pattern: Pattern = Field(description="what is removed as a whole")
    sparsity: Share = Field(description="share of the units that is removed")
    criterion: Criterion = Field(Taylor(), description="what a unit is worth")
    allocation: Literal["uniform", "global"] = Field(
        "uniform", description="the same share in each block, or the worst of all"
    )
    recover: MaybeRecover = Field(Recover(), description="the training afterwards, or `none`")

    @property
    def draws_random_numbers(self) -> bool:
        return self.criterion.draws_random_numbers or self.recover is not None

    @property
    def needs_data(self) -> bool:
        return self.criterion.needs_data or self.recover is not None

    def plan(self) -> TrainPlan | None:
        return self.recover.plan() if self.recover else None

    def refuses(self, sketch: Sketch) -> str | None:
        unfit = [why for state, why in UNFIT if state in sketch.states]
        if unfit:
            return f"prune cannot cut this model: {unfit[0]}"
        try:
            sketch.family.require(self.pattern.part, stage="prune")
        except InputError as error:
            return str(error)
        if self.recover and not self.recover.needs_head and (why := self.recover.refuses(sketch)):
            return why
        healed = self.recover is not None and self.recover.needs_head
        if "head_trained" not in sketch.states and (healed or self.criterion.needs_data):
            what = "recover" if healed else f"the criterion {self.criterion.name!r}"
            advice = "fine-tune first, or prune by magnitude with 'recover: none'"
            return f"{what} needs a head that is trained for the task; {advice}"
        return self._too_much(sketch)

    def guess(self, sketch: Sketch) -> Change:
        counts = self.pattern.counts(sketch)
        if self._competing(sketch):
            return self.pattern.change(spread(counts, self.sparsity), counts)
        return self.pattern.change(tuple(tuple(range(kept_count(n, self.sparsity))) for n in counts), counts)

    def uncertainty(self, sketch: Sketch) -> str | None:
        if not self._competing(sketch):
            return None
        counts = self.pattern.counts(sketch)
        total = kept_count(sum(counts), self.sparsity)
        most = min(max(counts), total - len(counts) + 1)
        stay = f"{total} {self.pattern.part} stay in all, between 1 and {most} in a layer"
        return f"{stay}; the size does not depend on which"

    def decide(self, bundle: Bundle, ctx: Context) -> Change:
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
        return self.allocation == "global" and not self.pattern.one_set(sketch.family)

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
