"""AdaLoRA: low-rank updates with ranks allocated during training."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field, model_validator

from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.core.fit.protocol import FitResult
from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.sketch import Sketch
from compress.core.stage.context import Context
from compress.core.values import Count, Fraction, Positive
from finetune.inserted.lora.adaptive import InsertAdalora, finished
from finetune.inserted.lora.allocation import Allocation, Orthogonal
from finetune.inserted.lora.method import PeftMethod
from finetune.inserted.lora.targets import ALL, rank_refusal

__all__ = ["Adalora"]


class Adalora(PeftMethod):
    """Low-rank updates W + alpha / r B E A with ranks allocated in training (AdaLoRA), and the head.

    E is a diagonal of zeros at first; a penalty keeps the rows of A and the columns of B near orthogonal. Every linear
    of the blocks begins with `initial_rank`; between `tinit` and the last `tfinal` of the steps the least important
    triplets of the whole model are pruned, by smoothed sensitivity and uncertainty, until the mean rank is `rank`. The
    ranks that are left are final: the report's `ranks` has them, and the tensors are cut to them. An early stop
    (`patience`) that restores an epoch before that leaves larger ranks.

    Rank 8 from 12, the penalty of 0.1, the betas, the alpha and the rate of SST-2 in table 8 and the released scripts
    for DeBERTa-v3; `tinit` and `tfinal` are near the scripts' shares (12 % and 44 % on SST-2, 12 % and 52 % on CoLA);
    the 24 epochs are cut to 6, so an allocation comes every 10 steps, as in CoLA's.

    References:
        Zhang et al. 2023, arXiv 2303.10512, section 3 and algorithm 1.
    """

    default_plan: ClassVar[TrainPlan] = TrainPlan(epochs=6, learning_rate=8e-4, warmup=0.06, weight_decay=0.01).over(
        DEFAULT_PLAN
    )

    rank: Count = Field(8, description="mean rank of the linears at the end of training")
    initial_rank: Count = Field(12, description="rank of each linear at the start")
    alpha: Positive = Field(16.0, description="the update is multiplied by alpha / initial_rank")
    dropout: Fraction = Field(0.0, description="dropout probability on the update's input, in training")
    tinit: Fraction = Field(0.1, description="share of the steps before ranks are reduced")
    tfinal: Fraction = Field(0.5, description="share of the steps, at the end, with fixed ranks")
    interval: Count = Field(10, description="steps between two allocations (the paper's delta T)")
    orthogonality: float = Field(0.1, ge=0, description="weight of the orthogonality penalty (the paper's gamma)")
    beta1: Fraction = Field(0.85, description="exponential smoothing of the sensitivity")
    beta2: Fraction = Field(0.85, description="exponential smoothing of the uncertainty")

    @model_validator(mode="after")
    def _room(self) -> Adalora:
        if self.tinit + self.tfinal >= 1:
            raise ValueError("tinit and tfinal leave no steps in which ranks are taken away; make one smaller")
        if self.rank >= self.initial_rank:
            raise ValueError(f"initial_rank must be above rank, {self.rank}, so that there is rank to take away")
        return self

    def change(self, sketch: Sketch) -> InsertAdalora:
        return InsertAdalora(
            targets=self.targets or (ALL,),
            rank=self.initial_rank,
            target_rank=self.rank,
            alpha=self.alpha,
            dropout=self.dropout,
        )

    def left(self, sketch: Sketch) -> Change:
        return self.change(sketch).model_copy(update={"rank": self.rank})

    def uncertain(self, sketch: Sketch) -> str | None:
        return f"the training decides which linears keep how much rank; counted with {self.rank} in each, their mean"

    def refuses(self, sketch: Sketch) -> str | None:
        return super().refuses(sketch) or rank_refusal(sketch, self.targets or (ALL,), self.initial_rank)

    def fit(self, bundle: Bundle, ctx: Context, plan: TrainPlan, name: str) -> FitResult:
        allocation = Allocation(
            bundle.model, target_rank=self.rank, tinit=self.tinit, tfinal=self.tfinal, interval=self.interval,
            beta1=self.beta1, beta2=self.beta2,
        )  # fmt: skip
        objective = Orthogonal(ctx.task_objective(), bundle.model, weight=self.orthogonality)
        return ctx.fit(bundle, objective, plan, name=name, hooks=[allocation])

    def finish(self, bundle: Bundle, ctx: Context) -> Bundle:
        with torch.no_grad():
            bundle, ranks = finished(bundle)
        ctx.note(ranks=ranks, mean_rank=sum(ranks.values()) / len(ranks))
        return bundle
