"""A ticket's size, for a model without weights."""

from __future__ import annotations

from typing import Any

from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.masks import evenly
from compress.core.model.matrices import first_stack
from compress.lottery.search import kept_share
from compress.prune.weights.mask import Mask

__all__ = ["KeepShare"]


class KeepShare(Change):
    """This share of the encoder's matrices stays; which weights these are, only the search says."""

    remaining: float

    def apply(self, bundle: Bundle) -> Bundle:
        weights = {name: bundle.model.get_parameter(name) for name in first_stack(bundle)}
        masks = {name: evenly(w.shape, kept_share(w.numel(), self.remaining)) for name, w in weights.items()}
        return Mask.of(masks).apply(bundle)

    def summary(self) -> dict[str, Any]:
        return {"remaining": self.remaining}
