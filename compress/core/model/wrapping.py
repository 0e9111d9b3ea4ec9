"""Wrapped linears: an adapter or low-rank update holds the linear as `base_layer`; replacing modules."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["linear_shape", "put", "unwrapped"]


def unwrapped(module: nn.Module) -> nn.Module:
    """The linear itself, without adapters around it."""
    while isinstance(inner := getattr(module, "base_layer", None), nn.Module):
        module = inner
    return module


def linear_shape(module: nn.Module) -> tuple[int, int]:
    """(out, in) of a linear: dense, transposed, quantized or factorized."""
    linear: Any = unwrapped(module)
    if hasattr(linear, "in_features"):
        return linear.out_features, linear.in_features
    inputs, outputs = linear.weight.shape
    return (outputs, inputs) if hasattr(linear, "nf") else (inputs, outputs)


def put(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Replace module `old` by `new` wherever `model` has it; inside of `new` nothing changes.

    Args:
        model: changed in place.
        old: a module of the model.
        new: may contain `old`.
    """
    owners = [m for m in model.modules() if m is not new and any(child is old for child in m.children())]
    for owner in owners:
        for name, child in list(owner.named_children()):
            if child is old:
                setattr(owner, name, new)
