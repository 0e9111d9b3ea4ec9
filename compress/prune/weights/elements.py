"""Unstructured pruning."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from compress.prune.selection import kept_count, kept_mask
from compress.prune.weights.pattern import WeightPattern

__all__ = ["Elements"]


class Elements(WeightPattern):
    """Unstructured sparsity: single weights of the blocks' matrices, without biases; fewer bytes on disk, no faster."""

    single: ClassVar[bool] = True

    def mask_by_output(self, scores: Float[Tensor, "out in"], sparsity: float) -> Bool[Tensor, "out in"]:
        count = kept_count(scores.shape[1], sparsity)
        return torch.stack([kept_mask(row, count) for row in scores.float()])
