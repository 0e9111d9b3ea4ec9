"""One (out, in) view of every linear: nn.Linear, transformers' Conv1D (stored in, out), fused query-key-value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from compress.core.errors import Refusal
from compress.core.families.family import Family
from compress.core.layers.low_rank import LowRankLinear
from compress.core.low_bit.linear import StoredLinear

__all__ = ["is_transposed", "matrix", "part_matrix", "rows_of"]


def is_transposed(module: nn.Module) -> bool:
    """Whether `module` stores its weight as (in, out), as transformers' Conv1D does."""
    return hasattr(module, "nf") and not isinstance(module, nn.Linear)


def matrix(module: nn.Module, tensor: Tensor | None = None) -> Tensor:
    """(out, in): the weight of a linear, or a tensor of the weight's shape (a gradient, a mask), as a view.

    Args:
        module: a linear or transformers' Conv1D.
        tensor: of the weight's shape; the weight itself unless given.

    Raises:
        Refusal: the weight is quantized or factorized, so that there is no dense one.
    """
    if isinstance(module, LowRankLinear):
        raise Refusal(
            "the weight of this linear is factorized, and cannot be read or pruned as one matrix",
            advice="make it one first: put `merge_factors` before this stage, or compress.factorize.dense.to_dense",
        )
    if tensor is None and isinstance(module, StoredLinear):
        raise Refusal(
            f"the weight of this linear is stored in {module.storage}, and cannot be read or pruned as a dense matrix",
            advice="make the model dense first (`merge`, or compress.quantize.store_linears.to_dense)",
        )
    found: Any = module.weight if tensor is None else tensor
    return found.T if is_transposed(module) else found


def rows_of(
    units: Sequence[int], *, size: int, of: int, stacked: int = 1, interleaved: int = 1, device: Any = None
) -> Tensor:
    """Indices of the output rows that belong to `units`, in the order of the linear.

    Args:
        units: indices of heads or neurons, from 0.
        size: outputs of one unit (the size of a head; 1 for neurons).
        of: number of units that the linear has.
        stacked: matrices that are fused one after the other (query, then key, then value).
        interleaved: matrices that are fused unit by unit.
        device: of the indices.
    """
    width = size * interleaved
    starts = [(layer * of + unit) * width for layer in range(stacked) for unit in units]
    start = torch.tensor(starts, dtype=torch.long, device=device)
    return (start[:, None] + torch.arange(width, device=device)).reshape(-1)


def part_matrix(block: nn.Module, family: Family, role: str, *, head_size: int = 1, gradient: bool = False) -> Tensor:
    """(out, in) of one role alone, also where the family fuses it with others.

    Args:
        block: one Transformer block.
        family: of the model.
        role: `query`, `key`, `value`, `output`, `up`, `gate` or `down`.
        head_size: needed where matrices are interleaved by head.
        gradient: the weight's gradient instead of the weight.
    """
    path = family.path(block, role)
    module: Any = family.part(block, role)
    whole = matrix(module, module.weight.grad if gradient else None)
    if path in family.stacked:
        return whole.chunk(family.stacked[path])[_position(family, role, path)]
    if path in family.interleaved:
        count = family.interleaved[path]
        by_head = whole.reshape(-1, count, head_size, whole.shape[1])
        return by_head[:, _position(family, role, path)].reshape(-1, whole.shape[1])
    return whole


def _position(family: Family, role: str, path: str) -> int:
    """Index of `role` among the fused matrices: query, key, value; or the family's order of up and gate."""
    fused = [name for name in ("query", "key", "value", *family.feed_forward_order) if getattr(family, name) == path]
    return fused.index(role)
