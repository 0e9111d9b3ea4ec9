"""Masked weights as they lie in a file: a bit for each place, and the values of those that stay.

A copy of this file lies in every directory that `changed` opens, so it imports torch and safetensors only.
"""

from __future__ import annotations

from typing import Any

import torch
from safetensors.torch import load_file

__all__ = ["BITS", "VALUES", "dense"]

BITS, VALUES = ".bits", ".values"


def dense(path: Any, shapes: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The tensors of a file, those of `shapes` dense: its values where a bit is 1, row by row, and else 0."""
    state = dict(load_file(path))
    for name, shape in shapes.items():
        bits, values = state.pop(name + BITS), state.pop(name + VALUES)
        shifts = torch.arange(7, -1, -1, dtype=torch.uint8)
        weight = torch.zeros(shape, dtype=values.dtype)
        flat = (bits[:, None] >> shifts & 1).bool().reshape(-1)[: weight.numel()]
        weight.view(-1)[flat] = values
        state[name] = weight
    return state
