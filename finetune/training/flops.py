"""Training FLOPs. A multiply-add counts as two."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from compress.core.model.evaluation import evaluating, model_inputs
from finetune.batching.batches import Batches, moved

__all__ = ["forward_flops", "grid", "training_flops"]


def grid(inputs: Mapping[str, Tensor]) -> tuple[int, int]:
    """Rows and length of a batch: of its first input that has a length, padding counted."""
    shape = next(iter(inputs.values())).shape
    return int(shape[0]), int(shape[1]) if len(shape) == 2 else 1


def forward_flops(model: nn.Module, batches: Batches) -> tuple[float, float]:
    """FLOPs of the forward pass as (a, b): one row of length n takes a n + b n^2.

    Counted by torch on the shortest and the longest row: whatever was done to the model, its matrix products are what
    it runs.

    Args:
        model: on its device.
        batches: of the training rows.
    """
    order = np.argsort(batches.lengths, kind="stable")
    (short, first), (long, second) = (_counted(model, batches, int(order[end])) for end in (0, -1))
    if short == long:
        return first / short, 0.0
    quadratic = (second / long - first / short) / (long - short)
    return first / short - quadratic * short, quadratic


def _counted(model: nn.Module, batches: Batches, row: int) -> tuple[int, float]:
    from torch.utils.flop_counter import FlopCounterMode

    device = next(model.parameters()).device
    inputs = model_inputs(moved(batches([row]), device))
    with evaluating(model), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(**inputs)
    return grid(inputs)[1], float(counter.get_total_flops())


def training_flops(forward: tuple[float, float], *, tokens: int, squared: int, trained_share: float) -> float:
    """FLOPs of forward and backward passes.

    Backward takes the forward's count once for the activations, and once more for the trained weights.

    Args:
        forward: (a, b) of `forward_flops`.
        tokens: of all rows, padding counted.
        squared: sum of the rows' squared lengths.
        trained_share: of the model's parameters, 0 to 1.
    """
    per_token, per_pair = forward
    return (per_token * tokens + per_pair * squared) * (2.0 + trained_share)
