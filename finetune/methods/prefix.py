"""Prefix tuning (P-tuning v2): trained keys and values at every layer."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.core.model.bundle import Bundle
from compress.core.model.sketch import Sketch
from compress.core.stage.context import Context
from compress.core.values import Count, Positive
from finetune.inserted.prompts.insert_prefix import InsertPrefix, draw
from finetune.inserted.prompts.method import PromptMethod

__all__ = ["Prefix"]


class Prefix(PromptMethod):
    """Prefix tuning at every layer (P-tuning v2): trained keys and values in each block's attention, and the head.

    softmax(q [P_k; K]^T / sqrt(d)) [P_v; V] in every block and head, 2 L n d parameters in all.

    The keys and values are parameters of their own, without the MLP of Li and Liang 2021, which the paper drops for
    classification; they are concatenated inside attention, so that [CLS] and all positions stay where they are. They
    have no position: they are added after the rotation, and relative position biases are 0 for them. T5 and BART get
    them in the encoder. ALBERT has one physical block, and so one prefix, used at every layer.

    The paper's rates are 5e-3 to 1e-2, its lengths 20 to 128 and its epochs 60 to 100, which are cut to 8. The
    initialization is that of the authors' code, standard normal. The head's rate is 1e-3: at higher rates the tanh of a
    fresh pooler may saturate.

    References:
        Liu et al. 2022 (P-tuning v2), arXiv 2110.07602; Li and Liang 2021, arXiv 2101.00190.
    """

    default_plan: ClassVar[TrainPlan] = TrainPlan(epochs=8, learning_rate=7e-3, weight_decay=0.0).over(DEFAULT_PLAN)

    length: Count = Field(
        20, description="keys and values of each block; the paper's easy tasks take 20, hard ones 128"
    )
    init_std: Positive = Field(1.0, description="standard deviation of the keys' and values' initialization")

    def change(self, sketch: Sketch) -> InsertPrefix:
        return InsertPrefix(length=self.length)

    def prepare(self, bundle: Bundle, ctx: Context) -> Bundle:
        draw(bundle, ctx.generator(), deviation=self.init_std)
        return bundle
