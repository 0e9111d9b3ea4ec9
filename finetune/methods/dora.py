"""Low-rank updates of a weight's direction, and its norms apart."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from compress.core.model.change import Change
from compress.core.model.sketch import Sketch
from compress.core.training.plan import DEFAULT_PLAN, TrainPlan
from compress.core.values import Count, Fraction, Positive
from finetune.inserted.lora.low_rank import InsertLora
from finetune.inserted.lora.method import PeftMethod, lora_targets
from finetune.inserted.lora.targets import rank_refusal

__all__ = ["Dora"]


class Dora(PeftMethod):
    """Train an update of a weight's direction, its rows' norms, and the head.  Liu et al. 2024, arXiv 2402.09353.

    m (W + alpha / r B A) / |W + alpha / r B A|, row by row, with m the norms of W at first; the norm below the line is
    a constant for the gradient (eq. 5 and section 4.3). At first the model answers as before up to rounding (1e-6). It
    trains one number more for each output of a target than LoRA, and a step takes longer, since the sum of the weights
    is formed in each; once merged it costs nothing.

    Targets, the ratio of alpha to rank and the plan are those of `lora` here, since the paper tunes decoders.
    """

    default_plan: ClassVar[TrainPlan] = TrainPlan(epochs=5, learning_rate=5e-4, warmup=0.06, weight_decay=0.1).over(
        DEFAULT_PLAN
    )

    rank: Count = Field(8, description="r, the rank of the update")
    alpha: Positive = Field(16.0, description="the update is multiplied by alpha / rank")
    dropout: Fraction = Field(0.0, description="of the update's input, while it trains")

    def change(self, sketch: Sketch) -> Change:
        return InsertLora(
            targets=lora_targets(self.targets, sketch),
            rank=self.rank,
            alpha=self.alpha,
            dropout=self.dropout,
            magnitude=True,
        )

    def refuses(self, sketch: Sketch) -> str | None:
        return super().refuses(sketch) or rank_refusal(sketch, lora_targets(self.targets, sketch), self.rank)
