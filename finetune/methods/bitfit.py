"""BitFit: only biases and the head are trained."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.core.model.bundle import Bundle
from compress.core.model.change import Change, Nothing
from compress.core.model.sketch import Sketch
from compress.core.stage.context import Context
from compress.core.surgery.biases import AddBiases
from finetune.inserted.adapters.biases import AddZeroBiases
from finetune.method import Method
from finetune.parameters.names import bias_names, head_names, role_biases

__all__ = ["Bitfit"]


class Bitfit(Method):
    """Biases alone are trained, and the head; every other weight is frozen (BitFit).

    The biases are those of attention, feed-forward networks, norms, the embeddings' norm and the pooler, about 0.09 %
    of BERT-base; `query_and_up` is the paper's smaller set, half of that. A family without biases gets zero biases
    first: ModernBERT in linears and norms, as its configuration allows, T5 in the linears of the encoder's blocks; the
    report's `added_biases` counts them.

    The paper's learning rates lie between 1e-4 and 1e-3, 10 to 40 times those of full fine-tuning, with more epochs; at
    full fine-tuning's own rate the method is far below its published quality. The default is the upper end, without
    weight decay.

    References:
        Ben Zaken et al. 2021, arXiv 2106.10199.
    """

    default_plan: ClassVar[TrainPlan] = TrainPlan(epochs=8, learning_rate=1e-3, weight_decay=0.0).over(DEFAULT_PLAN)

    biases: Literal["all", "query_and_up"] = Field(
        "all", description="all, or those of the query and of the first feed-forward linear"
    )

    def trainable(self, bundle: Bundle) -> frozenset[str]:
        biases = bias_names(bundle) if self.biases == "all" else role_biases(bundle, "query", "up")
        return biases | head_names(bundle)

    def change(self, sketch: Sketch) -> Change:
        if sketch.family.bare_linears:
            return AddZeroBiases()
        return AddBiases() if sketch.family.bias_fields else Nothing()

    def prepare(self, bundle: Bundle, ctx: Context) -> Bundle:
        made = bundle.changes[-1:]
        if made and isinstance(made[0], (AddBiases, AddZeroBiases)):
            ctx.note(added_biases=_zeros(bundle, bias_names(bundle) - head_names(bundle)))
        return bundle

    def refuses(self, sketch: Sketch) -> str | None:
        family = sketch.family
        if self.biases == "query_and_up" and family.query in (*family.stacked, *family.interleaved):
            return f"query, key and value of a {family.model_type} model lie in one linear; train 'biases: all'"
        return None


def _zeros(bundle: Bundle, names: frozenset[str]) -> int:
    """Number of elements of the parameters that are all zero."""
    found = (bundle.model.get_parameter(name) for name in names)
    return sum(parameter.numel() for parameter in found if not parameter.any())
