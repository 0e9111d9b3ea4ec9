"""Which layers a student has, as plain data."""

from __future__ import annotations

from typing import Any

from compress.core.bundle import Bundle
from compress.core.change import Change
from compress.core.masks import cut_with_masks
from compress.core.settings import Count
from compress.core.surgery import keep_layers

__all__ = ["KeepLayers"]


class KeepLayers(Change):
    """Only these layers stay, in their order; embeddings and head stay as they are."""

    kept: tuple[int, ...]
    of: Count

    def apply(self, bundle: Bundle) -> Bundle:
        cut_with_masks(bundle, lambda model: keep_layers(model, bundle.family, self.kept))
        return bundle

    def summary(self) -> dict[str, Any]:
        return {"layers": {"kept": list(self.kept), "of": self.of}}
