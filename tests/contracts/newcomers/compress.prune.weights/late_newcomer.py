"""A pattern of weights that is not there yet."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from compress.prune.selection import kept_count
from compress.prune.weights.pattern import WeightPattern


class LateNewcomer(WeightPattern):
    """Single weights, of each output the first of those that are equal."""

    single: ClassVar[bool] = True

    def mask_by_output(self, scores: Float[Tensor, "out in"], sparsity: float) -> Bool[Tensor, "out in"]:
        order = scores.argsort(dim=1, descending=True, stable=True)
        kept = order[:, : kept_count(scores.shape[1], sparsity)]
        return torch.zeros_like(scores, dtype=torch.bool).scatter(1, kept, True)
