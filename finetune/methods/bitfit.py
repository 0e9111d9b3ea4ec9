"""Only biases and the head are trained."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from compress.core.biases import AddBiases
from compress.core.bundle import Bundle
from compress.core.change import Change, Nothing
from compress.core.errors import Refusal
from compress.core.sketch import Sketch
from compress.core.training import DEFAULT_PLAN, TrainPlan
from finetune.method import Method
from finetune.parts import bias_names, head_names, role_biases

__all__ = ["Bitfit"]


class Bitfit(Method):
    """Train the biases and the head; every other weight stays.  Ben Zaken et al. 2021, arXiv 2106.10199.

    The biases are those of attention, feed-forward networks, norms, the embeddings' norm and the pooler, about 0.09 %
    of BERT-base; `query_and_up` is the paper's smaller set, half of that. A family without biases gets zeros first
    where its configuration can say so (ModernBERT); the report's `added_biases` counts them.

    The paper's rates lie between 1e-4 and 1e-3, 10 to 40 times those of full fine-tuning, with more epochs; at full
    fine-tuning's own rate it looks bad and is not BitFit. The default is the upper end, and nothing decays.
    """

    default_plan: ClassVar[TrainPlan] = TrainPlan(epochs=8, learning_rate=1e-3, weight_decay=0.0).over(DEFAULT_PLAN)

    biases: Literal["all", "query_and_up"] = Field(
        "all", description="all, or those of the query and of the first feed-forward linear"
    )

    def trainable(self, bundle: Bundle) -> frozenset[str]:
        biases = bias_names(bundle) if self.biases == "all" else role_biases(bundle, "query", "up")
        return biases | head_names(bundle)

    def change(self, sketch: Sketch) -> Change:
        return AddBiases() if sketch.family.bias_fields else Nothing()

    def refuses(self, sketch: Sketch) -> str | None:
        family = sketch.family
        try:
            family.require("biases", stage="bitfit")
        except Refusal as refusal:
            return refusal.what
        if self.biases == "query_and_up" and family.query in (*family.stacked, *family.interleaved):
            return f"query, key and value of a {family.model_type} model lie in one linear; train 'biases: all'"
        return None
