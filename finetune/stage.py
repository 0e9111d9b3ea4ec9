"""Fine-tune a model on the task."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from compress.core.bundle import Bundle
from compress.core.change import Change, Nothing
from compress.core.context import Context
from compress.core.settings import Positive
from compress.core.sketch import Sketch, State
from compress.core.stage import Stage
from compress.core.training import FitResult, TrainPlan
from finetune.delta import delta_bytes
from finetune.method import Method, only_trained
from finetune.methods.full import Full

__all__ = ["Finetune"]


class Finetune(Stage):
    """Train the model, or a part of it, on the task's train split."""

    method: Method = Field(default_factory=Full, description="which parameters are trained")
    train: TrainPlan = Field(default_factory=TrainPlan, description="how long and how fast")
    learning_rates: tuple[Positive, ...] = Field(
        (), description="rates to try; the one that is best on select is kept, the first of equals"
    )

    @property
    def draws_random_numbers(self) -> Literal[True]:
        return True

    def plan(self) -> TrainPlan:
        return self.train.over(self.method.plan())

    def refuses(self, sketch: Sketch) -> str | None:
        return self.method.refuses(sketch)

    def adds(self) -> frozenset[State]:
        return frozenset[State]({"head_trained"}) | self.method.adds()

    def guess(self, sketch: Sketch) -> Change:
        return self.method.change(sketch)

    def decide(self, bundle: Bundle, ctx: Context) -> Change:
        return self.guess(bundle.sketch())

    def run(self, bundle: Bundle, ctx: Context) -> Bundle:
        bundle = self._prepared(bundle, ctx)
        names = self.method.trainable(bundle)
        if self.learning_rates:
            bundle, result = self._best_rate(bundle, names, ctx)
        else:
            result = self._fit(bundle, names, ctx, self.plan(), self.name)
        bundle = self.method.finish(bundle, ctx)
        bundle.states = bundle.states | self.adds()
        bundle.fresh = bundle.fresh - names
        ctx.note(**facts(result), delta_bytes=delta_bytes(bundle.model, names), select=ctx.evaluate(bundle))
        return bundle

    def _prepared(self, bundle: Bundle, ctx: Context) -> Bundle:
        change = self.decide(bundle, ctx)
        if not isinstance(change, Nothing):
            bundle = bundle.changed_by(change)
        return self.method.prepare(bundle, ctx)

    def _fit(self, bundle: Bundle, names: frozenset[str], ctx: Context, plan: TrainPlan, name: str) -> FitResult:
        with only_trained(bundle.model, names):
            return self.method.fit(bundle, ctx, plan, name)

    def _best_rate(self, bundle: Bundle, names: frozenset[str], ctx: Context) -> tuple[Bundle, FitResult]:
        """Each rate tried on a copy of the bundle; what was tried is noted."""
        tried: dict[str, float] = {}
        best: tuple[Bundle, FitResult] | None = None
        for rate in self.learning_rates:
            copy = bundle.copy()
            plan = self.plan().model_copy(update={"learning_rate": rate})
            result = self._fit(copy, names, ctx, plan, f"{self.name}-{rate:g}")
            score = ctx.evaluate(copy)
            if best is None or score > max(tried.values()):
                best = copy, result
            tried[f"{rate:g}"] = score
        ctx.note(select_by_learning_rate=tried, learning_rate=float(max(tried, key=tried.__getitem__)))
        return best or (bundle, FitResult(0, 0.0, 0, float("nan")))


def facts(result: FitResult) -> dict[str, object]:
    """A fit's result as plain data for the report; its seconds are the engine's to measure."""
    return {
        "steps": result.steps,
        "loss": result.loss,
        "trained_parameters": result.trained_parameters,
        **result.notes,
    }
