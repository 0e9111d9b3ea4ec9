"""Full fine-tuning, at once or by gradual unfreezing."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from compress.core.fit.plan import TrainPlan
from compress.core.fit.protocol import FitResult
from compress.core.model.bundle import Bundle
from compress.core.stage.context import Context
from compress.core.values import Count
from finetune.method import Method
from finetune.parameters.depth import by_depth, rates_by_depth

__all__ = ["Full"]

Decay = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
DISCRIMINATIVE = 1 / 2.6
UNFREEZING_PLAN = TrainPlan(epochs=10, learning_rate=2e-4, schedule="slanted_triangle", warmup=0.1)


class Full(Method):
    """Full fine-tuning: every parameter is trained, at once or by gradual unfreezing from the top down.

    With `unfreezing` the head is trained alone in the first epoch, and at each further epoch so many groups are
    unfrozen, the last block first and the embeddings at the end. With it the learning rate of a group at depth l is eta
    / 2.6^l unless `layer_decay` is given, and the schedule is the slanted triangle with its cut at 0.1 and ratio 32
    (ULMFiT, sections 3.2 and 3.3). ULMFiT's rate of 0.01 is for an LSTM; the default of 2e-4 is ours, so that the last
    blocks of a Transformer are trained near 5e-5. A plan of fewer epochs than groups leaves the lowest groups as they
    were; the report's `groups_trained` has their number.

    References:
        Devlin et al. 2019, arXiv 1810.04805, section 4; Howard and Ruder 2018 (ULMFiT), arXiv 1801.06146.
    """

    whole: ClassVar[bool] = True

    unfreezing: Count | None = Field(None, description="groups unfrozen at each epoch, top first; ULMFiT: 1")
    layer_decay: Decay | None = Field(None, description="factor of the learning rate from one layer to the next below")

    @property
    def freezes(self) -> bool:
        return self.unfreezing is not None

    def plan(self) -> TrainPlan:
        return UNFREEZING_PLAN.over(self.default_plan) if self.unfreezing else self.default_plan

    def trainable(self, bundle: Bundle) -> frozenset[str]:
        return frozenset(name for name, parameter in bundle.model.named_parameters() if parameter.is_floating_point())

    def fit(self, bundle: Bundle, ctx: Context, plan: TrainPlan, name: str) -> FitResult:
        decay = self.layer_decay or (DISCRIMINATIVE if self.unfreezing else 1.0)
        if decay == 1.0 and not self.unfreezing:
            return super().fit(bundle, ctx, plan, name)
        groups = by_depth(bundle)
        rates = rates_by_depth(groups, decay=decay, at_once=self.unfreezing, plan=plan)
        result = ctx.fit(bundle, ctx.task_objective(), plan, name=name, rates=rates)
        moved = {n for n, rate in rates.items() if rate.joined(1 - 1 / max(1, result.steps))}
        ctx.note(groups_trained=f"{sum(bool(group & moved) for group in groups)} of {len(groups)}")
        return result
