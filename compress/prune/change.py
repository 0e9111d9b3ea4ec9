"""Which heads and neurons stay, as plain data."""

from __future__ import annotations

from typing import Any

from compress.core.bundle import Bundle
from compress.core.change import Change
from compress.core.heads import keep_heads, keep_neurons
from compress.core.masks import cut_with_masks

__all__ = ["KeepHeads", "KeepNeurons"]

Kept = tuple[tuple[int, ...], ...]


class KeepHeads(Change):
    """Only these attention heads stay in each block; the tensors become smaller."""

    kept: Kept
    of: tuple[int, ...]

    def apply(self, bundle: Bundle) -> Bundle:
        cut_with_masks(bundle, lambda model: keep_heads(model, bundle.family, self.kept))
        return bundle

    def summary(self) -> dict[str, Any]:
        return {"heads": _summary(self.kept, self.of)}


class KeepNeurons(Change):
    """Only these feed-forward neurons stay in each block; the tensors become smaller."""

    kept: Kept
    of: tuple[int, ...]

    def apply(self, bundle: Bundle) -> Bundle:
        cut_with_masks(bundle, lambda model: keep_neurons(model, bundle.family, self.kept))
        return bundle

    def summary(self) -> dict[str, Any]:
        return {"neurons": _summary(self.kept, self.of)}


def _summary(kept: Kept, of: tuple[int, ...]) -> dict[str, Any]:
    """One number where all blocks had as many units, else one for each block."""
    return {"kept": [list(units) for units in kept], "of": of[0] if len(set(of)) == 1 else list(of)}
