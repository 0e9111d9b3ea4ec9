"""A pruning mask as a change, which carries its bits as tensors."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor

from compress.core.errors import StageFailed
from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.masks import apply_masks, evenly, masked_parameters
from compress.core.model.sketch import Sketch
from compress.core.values import Settings

__all__ = ["Kept", "Mask", "starting"]


class Kept(Settings):
    """How many weights of one parameter stay."""

    parameter: str
    kept: int
    shape: tuple[int, ...]


class Mask(Change):
    """These weights are zero from now on; every later training keeps them so.

    Its plain data are the counts, which are all that a model without weights needs. Which weights they are, and what
    the ones that stay become where a criterion moves them, are its tensors.
    """

    parts: tuple[Kept, ...]

    @classmethod
    def of(cls, masks: Mapping[str, Tensor], weights: Mapping[str, Tensor] | None = None) -> Mask:
        """The change that leaves what `masks` keep.

        Args:
            masks: name of a parameter -> boolean tensor of its shape, True where kept.
            weights: what parameters become first (SparseGPT's update); the others keep their values.
        """
        parts = [
            Kept(parameter=name, kept=int(mask.sum()), shape=tuple(mask.shape)) for name, mask in sorted(masks.items())
        ]
        tensors = {f"mask.{name}": mask for name, mask in masks.items()}
        return cls(parts=tuple(parts)).with_tensors(
            {**tensors, **{f"weight.{name}": weight for name, weight in (weights or {}).items()}}
        )

    def masks(self) -> dict[str, Tensor]:
        """Name of a parameter -> which of its weights stay."""
        return starting("mask.", self.tensors())

    def weights(self) -> dict[str, Tensor]:
        """Name of a parameter -> what it becomes."""
        return starting("weight.", self.tensors())

    def apply(self, bundle: Bundle) -> Bundle:
        """The masked bundle. Without tensors, on the meta device alone: masks of the same counts, spread evenly."""
        masks = self.masks()
        if not masks and bundle.device.type != "meta":
            raise StageFailed(
                "this change says how many weights stay, and no longer which",
                advice="a saved model's masks are in its directory: open that",
            )
        self._put_weights(bundle)
        new = masks or {part.parameter: evenly(part.shape, part.kept) for part in self.parts}
        bundle.masks = {**bundle.masks, **{name: mask.to(bundle.mask_device) for name, mask in new.items()}}
        apply_masks(bundle.model, bundle.masks)
        bundle.states = bundle.states | {"masked"}
        return bundle

    def summary(self, before: Sketch) -> dict[str, Any]:
        kept, of = sum(part.kept for part in self.parts), sum(prod(part.shape) for part in self.parts)
        by = {part.parameter: round(1 - part.kept / prod(part.shape), 4) for part in self.parts}
        return {"weights": {"kept": kept, "of": of, "sparsity": by}}

    @torch.no_grad()
    def _put_weights(self, bundle: Bundle) -> None:
        weights = self.weights()
        for name, parameter in masked_parameters(bundle.model, weights):
            if parameter.device.type != "meta":
                parameter.copy_(weights[name])


def starting(word: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those whose names begin with the word, by the rest of their names.

    Args:
        word: the prefix.
        tensors: by name.
    """
    return {name.removeprefix(word): tensor for name, tensor in tensors.items() if name.startswith(word)}
