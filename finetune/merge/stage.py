"""Merging of a tuned model into one of its own, which other stages can follow."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from compress.core.checkpoint.quantized import misread
from compress.core.model.bundle import Bundle
from compress.core.model.sketch import Sketch
from compress.core.model.state import State
from compress.core.stage.context import Context
from compress.core.stage.fixed import FixedChange
from finetune.inserted.insertion import insertions
from finetune.merge.change import Merged

__all__ = ["Merge"]


class Merge(FixedChange):
    """Adapters, low-rank updates and added biases folded into the weights, so that the model is saved whole.

    `dense`: a quantized base is dequantized first, then the update is added to it: the logits stay. `quantized`: the
    linears are stored as the base's were. A merged update of the weights (LoRA) is rounded again by this, which changes
    the logits a little; added biases (BitFit) are kept exactly.
    """

    forbids: ClassVar[frozenset[State]] = frozenset()

    to: Literal["dense", "quantized"] = Field("dense", description="how the linears are stored afterwards")

    def refusal(self, sketch: Sketch) -> str | None:
        if self.to == "quantized" and "quantized" not in sketch.states:
            return "the model's linears are stored in fp32, so there is no storage to keep; take `to: dense`"
        return None

    def change(self, sketch: Sketch) -> Merged:
        return Merged(to=self.to)

    def run(self, bundle: Bundle, ctx: Context) -> Bundle:
        if self.to == "quantized" and insertions(bundle):
            ctx.note(rounded_again="what was merged changed the weights, which were then rounded to the base's storage")
        merged = bundle.changed_by(Merged(to=self.to, method=bundle.tuned.method if bundle.tuned else ""))
        wrong = misread(merged.model)
        if wrong:
            ctx.note(
                misread_by_bitsandbytes=f"on some CPUs plain from_pretrained gives other answers than compress.load: "
                f"{len(wrong)} linears have rows that are no multiple of 64 long"
            )
        return merged
