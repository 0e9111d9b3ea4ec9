"""Common base of the methods that insert a prompt or a prefix."""

from __future__ import annotations

from compress.core.fit.plan import NO_RATES, Rate, TrainPlan
from compress.core.fit.protocol import FitResult
from compress.core.model.bundle import Bundle
from compress.core.model.sketch import Sketch
from compress.core.stage.context import Context
from finetune.inserted.insertion import Insertion
from finetune.method import Method
from finetune.parameters.names import head_names

__all__ = ["HEAD_RATE", "PromptMethod"]

HEAD_RATE = 1e-3
"""Upper bound of the head's rate, Adam's own default: at prompts' rates the tanh of a fresh pooler may saturate."""


class PromptMethod(Method):
    """The inserted prompt or prefix is trained, and the head."""

    def change(self, sketch: Sketch) -> Insertion:
        """What is inserted; every method has its own."""
        raise NotImplementedError

    def trainable(self, bundle: Bundle) -> frozenset[str]:
        return self.change(bundle.sketch()).inserted(bundle) | head_names(bundle)

    def fit(self, bundle: Bundle, ctx: Context, plan: TrainPlan, name: str) -> FitResult:
        fastest = plan.learning_rate or HEAD_RATE
        slow = Rate(scale=HEAD_RATE / fastest)
        rates = dict.fromkeys(head_names(bundle), slow) if fastest > HEAD_RATE else NO_RATES
        return ctx.fit(bundle, ctx.task_objective(), plan, name=name, rates=rates)

    def refuses(self, sketch: Sketch) -> str | None:
        return self.change(sketch).refuses(sketch)
