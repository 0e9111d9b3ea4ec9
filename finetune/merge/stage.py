"""Make a tuned model one of its own again: fold what was inserted into the weights."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from compress.core.checkpoint.quantized import misread
from compress.core.errors import Refusal
from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.sketch import Sketch, State
from compress.core.stage.context import Context
from compress.core.stage.stage import Stage
from compress.quantize.stored import StoreLinears, stored_as, to_dense
from finetune.inserted.insertion import Insertion, insertions
from finetune.merge.change import Merged

__all__ = ["Merge"]


class Merge(Stage):
    """Fold what a fine-tuning put into the model into its weights, so that it is saved whole and other stages follow.

    `dense`: weights in fewer bits are dequantized first, then what was inserted is added to them: the answers stay.
    `quantized`: the linears are stored as the base's were. What changes the weights (LoRA) is rounded again by this,
    which changes the answers a little; what does not (BitFit) is kept exactly.
    """

    bears: ClassVar[frozenset[State]] = frozenset({"adapted", "quantized"})

    to: Literal["dense", "quantized"] = Field("dense", description="how the linears are stored afterwards")

    @property
    def needs_data(self) -> bool:
        return False

    def refuses(self, sketch: Sketch) -> str | None:
        if self.to == "quantized" and "quantized" not in sketch.states:
            return "the model's linears are stored in fp32, so there is no storage to keep; take `to: dense`"
        return None

    def guess(self, sketch: Sketch) -> Change:
        return Merged(to=self.to)

    def decide(self, bundle: Bundle, ctx: Context) -> Change:
        return self.guess(bundle.sketch())

    def apply(self, bundle: Bundle, change: Change) -> Bundle:
        standing = insertions(bundle)
        self._refuse(standing, masked=bool(bundle.masks))
        storage = stored_as(bundle)
        if storage and (standing or self.to == "dense"):
            bundle = to_dense(bundle)
        for insertion in reversed(standing):
            insertion.merge(bundle)
        method = bundle.tuned.method if bundle.tuned else ""
        kept = tuple(c for c in bundle.changes if not isinstance(c, Insertion | StoreLinears))
        bundle.changes = (*kept, Merged(to=self.to, method=method))
        bundle.states, bundle.tuned = bundle.states - {"adapted", "quantized"}, None
        if storage and self.to == "quantized":
            bundle = bundle.changed_by(storage) if standing else replace(bundle, changes=(*bundle.changes, storage))
            bundle.states = bundle.states | {"quantized"}
        return bundle

    def run(self, bundle: Bundle, ctx: Context) -> Bundle:
        rounded = self.to == "quantized" and bool(insertions(bundle))
        if rounded:
            ctx.note(rounded_again="what was merged changed the weights, which were then rounded to the base's storage")
        merged = self.apply(bundle, self.decide(bundle, ctx))
        wrong = misread(merged.model)
        if wrong:
            ctx.note(
                misread_by_bitsandbytes=f"on some CPUs plain from_pretrained gives other answers than compress.load: "
                f"{len(wrong)} linears have rows that are no multiple of 64 long"
            )
        return merged

    def _refuse(self, standing: tuple[Insertion, ...], *, masked: bool) -> None:
        reasons = [insertion.cannot_merge for insertion in standing if insertion.cannot_merge]
        if reasons:
            raise Refusal(
                f"it cannot be merged: {reasons[0]}",
                advice="keep the delta on its base (finetune.load opens it), or tune by a method that merges",
            )
        if masked and not all(insertion.keeps_zeros for insertion in standing):
            raise Refusal(
                "what would be merged fills the zeros that the base's masks hold",
                advice="keep the delta on its base, prune after merging, or put make_permanent before the fine-tuning",
            )
