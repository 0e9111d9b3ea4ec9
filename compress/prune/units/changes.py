"""Which heads, neurons and entries of the hidden dimension stay, as plain data."""

from __future__ import annotations

from typing import Any

from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.sketch import Sketch
from compress.core.surgery.heads_and_neurons import keep_heads, keep_neurons
from compress.core.surgery.masks import cut_with_masks
from compress.core.surgery.width import keep_width
from compress.core.values import Count

__all__ = ["KeepHeads", "KeepNeurons", "KeepWidth"]

Kept = tuple[tuple[int, ...], ...]


class KeepHeads(Change):
    """Only these attention heads stay in each block, a decoder's and its attention to the encoder last."""

    kept: Kept
    of: tuple[int, ...]

    def apply(self, bundle: Bundle) -> Bundle:
        cut_with_masks(bundle, lambda model: keep_heads(model, bundle.family, self.kept))
        return bundle

    def summary(self, before: Sketch) -> dict[str, Any]:
        return {"heads": _summary(self.kept, self.of, before.head_stacks)}


class KeepNeurons(Change):
    """Only these feed-forward neurons stay in each block; the tensors become smaller."""

    kept: Kept
    of: tuple[int, ...]

    def apply(self, bundle: Bundle) -> Bundle:
        cut_with_masks(bundle, lambda model: keep_neurons(model, bundle.family, self.kept))
        return bundle

    def summary(self, before: Sketch) -> dict[str, Any]:
        return {"neurons": _summary(self.kept, self.of, before.neuron_stacks)}


class KeepWidth(Change):
    """Only these entries of the hidden dimension stay; all that writes to it or reads from it becomes smaller."""

    kept: tuple[int, ...]
    of: Count

    def apply(self, bundle: Bundle) -> Bundle:
        cut_with_masks(bundle, lambda model: keep_width(model, bundle.family, self.kept))
        return bundle

    def summary(self, before: Sketch) -> dict[str, Any]:
        return {"width": {"kept": list(self.kept), "of": self.of}}


def _summary(kept: Kept, of: tuple[int, ...], stacks: tuple[str, ...]) -> dict[str, Any]:
    """One number where all blocks had as many units, else one for each block; and whose each is, where that differs."""
    found = {"kept": [list(units) for units in kept], "of": of[0] if len(set(of)) == 1 else list(of)}
    return {**found, "kinds": list(stacks)} if len(set(stacks)) > 1 else found
