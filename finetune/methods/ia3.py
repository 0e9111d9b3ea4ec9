"""(IA)^3: learned rescaling of keys, values and feed-forward activations."""

from __future__ import annotations

from typing import ClassVar

from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.core.model.change import Change
from compress.core.model.sketch import Sketch
from finetune.inserted.lora.method import PeftMethod
from finetune.inserted.lora.scaling import InsertIa3

__all__ = ["Ia3"]

PAPER = ("key", "value", "down")


class Ia3(PeftMethod):
    """Learned rescaling of keys, values and feed-forward activations by vectors, (IA)^3; the head is trained too.

    The vectors are initialized to ones, so the initial logits are the base's. Those of keys and values multiply the
    linear's output, that of the feed-forward network the input of its second linear (section 3.3): 55,296 parameters of
    BERT-base. Where a family has query, key and value in one fused linear (GPT-2, ModernBERT, DeBERTa) the queries are
    rescaled too. Other targets are rescaled at their output.

    The paper's rate of 3e-3, warm-up of 6 % (60 of 1,000 steps) and linear decay (section 3.5), with AdamW in place of
    Adafactor, without weight decay.

    References:
        Liu et al. 2022, arXiv 2205.05638, section 3.3.
    """

    default_plan: ClassVar[TrainPlan] = TrainPlan(epochs=5, learning_rate=3e-3, warmup=0.06, weight_decay=0.0).over(
        DEFAULT_PLAN
    )

    def change(self, sketch: Sketch) -> Change:
        return InsertIa3(targets=self.targets or PAPER)
