"""LoRA: low-rank updates of frozen weights."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.core.model.change import Change
from compress.core.model.sketch import Sketch
from compress.core.values import Count, Fraction, Positive
from finetune.inserted.lora.low_rank import InsertLora
from finetune.inserted.lora.method import PeftMethod, lora_targets
from finetune.inserted.lora.targets import rank_refusal

__all__ = ["Lora"]


class Lora(PeftMethod):
    """Low-rank update beside frozen linears, W + alpha / r B A (LoRA); the head is trained too.

    A is drawn and B is zero, so that the initial logits are the base's. By default query and value with rank 8, as in
    the paper's section 5, and an alpha of 16, as in the released scripts (the paper's table 9 says 8): 294,912
    parameters of BERT-base. Where a family has query, key and value in one fused linear (GPT-2, ModernBERT, DeBERTa)
    that linear as a whole is updated. On a quantized base all linears of the blocks are adapted, which is what closes
    the gap to full fine-tuning there (QLoRA, section 4). In an encoder-decoder the roles are those of the encoder;
    names match the decoder too.

    The rate, warm-up and decay are those of the paper's table 9 for RoBERTa-base (4e-4 or 5e-4, 6 %, 0.1); its 25 to 80
    epochs are cut to 5.

    References:
        Hu et al. 2022, arXiv 2106.09685; Dettmers et al. 2023 (QLoRA), arXiv 2305.14314.
    """

    default_plan: ClassVar[TrainPlan] = TrainPlan(epochs=5, learning_rate=5e-4, warmup=0.06, weight_decay=0.1).over(
        DEFAULT_PLAN
    )

    magnitude: ClassVar[bool] = False
    """Whether the norms of the weight's rows are trained apart from its direction (DoRA)."""

    rank: Count = Field(8, description="r, the rank of the update")
    alpha: Positive = Field(16.0, description="the update is multiplied by alpha / rank")
    dropout: Fraction = Field(0.0, description="dropout probability on the update's input, in training")

    def change(self, sketch: Sketch) -> Change:
        return InsertLora(
            targets=lora_targets(self.targets, sketch),
            rank=self.rank,
            alpha=self.alpha,
            dropout=self.dropout,
            magnitude=self.magnitude,
        )

    def refuses(self, sketch: Sketch) -> str | None:
        return super().refuses(sketch) or rank_refusal(sketch, lora_targets(self.targets, sketch), self.rank)
