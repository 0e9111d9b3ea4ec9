"""Merged weights: an adapter's update folded into its linear; computed here, so that any dense linear serves."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from compress.core.model.matrix import matrix

__all__ = ["merged_bias", "merged_weight", "update"]


def merged_weight(layer: Any, adapter: str) -> Tensor:
    """Merged weight of a linear and its adapter, (out, in).

    LoRA: W + s B A. DoRA: m (W + s B A) / |W + s B A|, row by row. AdaLoRA: W + s B (E A). (IA)^3: the rows of W, or
    its columns where the input is rescaled, times the learned vector.

    Args:
        layer: PEFT's, around a dense linear.
        adapter: PEFT's name for it.
    """
    weight = matrix(layer.base_layer)
    if hasattr(layer, "ia3_l"):
        scale = layer.ia3_l[adapter].flatten()
        return weight * (scale[None, :] if layer.is_feedforward else scale[:, None])
    total = weight + update(layer, adapter).to(weight.dtype)
    if adapter not in layer.lora_magnitude_vector:
        return total
    magnitude = layer.lora_magnitude_vector[adapter].weight
    return total * (magnitude / torch.linalg.norm(total, dim=1))[:, None]


def merged_bias(layer: Any, adapter: str) -> Tensor:
    """Merged bias of a linear, (out,); only (IA)^3 on an output changes it.

    Args:
        layer: PEFT's, around a dense linear.
        adapter: PEFT's name for it.
    """
    bias = layer.base_layer.bias
    if hasattr(layer, "ia3_l") and not layer.is_feedforward:
        return bias * layer.ia3_l[adapter].flatten()
    return bias


def update(layer: Any, adapter: str) -> Tensor:
    """Update that a low-rank layer adds to the weight, (out, in).

    Args:
        layer: PEFT's, around a linear.
        adapter: PEFT's name for it.
    """
    low, up = layer.lora_A[adapter], layer.lora_B[adapter]
    if hasattr(layer, "lora_E"):
        rows = low * layer.lora_E[adapter]
        return up @ rows * layer.scaling[adapter] / (layer.ranknum[adapter] + 1e-5)
    return up.weight @ low.weight * layer.scaling[adapter]
