"""Layer removal, as plain data: the layers of a student, or those that pruning keeps."""

from __future__ import annotations

from typing import Any

from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.sketch import Sketch
from compress.core.surgery.layers import keep_layers
from compress.core.surgery.masks import cut_with_masks
from compress.core.values import Count

__all__ = ["KeepLayers"]


class KeepLayers(Change):
    """Layer removal: only `kept` layers stay, in their order; embeddings and head stay as they are."""

    kept: tuple[int, ...]
    of: Count

    def apply(self, bundle: Bundle) -> Bundle:
        cut_with_masks(bundle, lambda model: keep_layers(model, bundle.family, self.kept))
        return bundle

    def summary(self, before: Sketch) -> dict[str, Any]:
        return {"layers": {"kept": list(self.kept), "of": self.of}}
