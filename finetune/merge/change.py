"""Merging: inserted modules folded into the weights."""

from __future__ import annotations

from typing import Literal

from compress.core.errors import Refusal
from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.quantize.store_linears import StoreLinears, stored_as, to_dense
from finetune.inserted.insertion import Insertion, insertions

__all__ = ["Merged"]


class Merged(Change):
    """Merged model with the shape of its base; `to` is how its linears are stored.

    The insertions are no part of its history any more, and neither is a storage that it has no longer.
    """

    to: Literal["dense", "quantized"] = "dense"
    method: str = ""

    def apply(self, bundle: Bundle) -> Bundle:
        """The bundle, changed in place.

        Raises:
            Refusal: what stands in it cannot be merged.
        """
        standing, storage = insertions(bundle), stored_as(bundle)
        check(standing, masked=bool(bundle.masks))
        again = storage if standing and self.to == "quantized" else None
        if again or self.to == "dense":
            bundle = to_dense(bundle)
        for insertion in reversed(standing):
            insertion.merge(bundle)
        bundle.states, bundle.tuned = bundle.states - {"adapted", "quantized"}, None
        bundle.changes = tuple(change for change in bundle.changes if not isinstance(change, Insertion | StoreLinears))
        if again:
            bundle = bundle.changed_by(again)
        elif storage and self.to == "quantized":
            bundle.changes, bundle.states = (*bundle.changes, storage), bundle.states | {"quantized"}
        return bundle


def check(standing: tuple[Insertion, ...], *, masked: bool) -> None:
    """Raise `Refusal` where a model's insertions cannot be folded into its weights.

    Args:
        standing: the insertions that are in the model.
        masked: whether masks hold zeros of the base.
    """
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
