"""Fine-tune a model on the task."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from compress.core.bundle import Bundle
from compress.core.context import Context
from compress.core.sketch import Sketch, State
from compress.core.stage import Stage
from compress.core.training import FitResult, TrainPlan
from finetune.method import Method, only_trained
from finetune.methods.full import Full

__all__ = ["Finetune"]


class Finetune(Stage):
    """Train the model, or a part of it, on the task's train split."""

    method: Method = Field(default_factory=Full, description="which parameters are trained")
    train: TrainPlan = Field(default_factory=TrainPlan, description="how long and how fast")

    @property
    def draws_random_numbers(self) -> Literal[True]:
        return True

    def plan(self) -> TrainPlan:
        return self.train.over(self.method.default_plan)

    def refuses(self, sketch: Sketch) -> str | None:
        return self.method.refuses(sketch)

    def adds(self) -> frozenset[State]:
        return frozenset[State]({"head_trained"}) | self.method.adds()

    def run(self, bundle: Bundle, ctx: Context) -> Bundle:
        bundle = self.method.prepare(bundle, ctx)
        with only_trained(bundle.model, self.method.trainable(bundle)):
            result = ctx.fit(bundle, ctx.task_objective(), self.plan(), name=self.name)
        bundle = self.method.finish(bundle, ctx)
        bundle.states = bundle.states | self.adds()
        ctx.note(**facts(result), select=ctx.evaluate(bundle))
        return bundle


def facts(result: FitResult) -> dict[str, object]:
    """A fit's result as plain data for the report; its seconds are the engine's to measure."""
    return {
        "steps": result.steps,
        "loss": result.loss,
        "trained_parameters": result.trained_parameters,
        **result.notes,
    }
