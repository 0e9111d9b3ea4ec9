"""Exact counts of what stays, and the mask of the highest scores."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import floor

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["kept_count", "kept_mask", "kept_together"]


def kept_count(units: int, sparsity: float) -> int:
    """How many of `units` stay: units x (1 - sparsity) to the nearest integer, halves stay.

    Args:
        units: how many there are.
        sparsity: share that is removed, from 0 to 1.

    Reckoned in exact decimals, so that a tenth is a tenth.

    Example:
        >>> kept_count(12, 0.5), kept_count(12, 0.3), kept_count(5, 0.5)
        (6, 8, 3)
    """
    return floor(units * (1 - Fraction(str(sparsity))) + Fraction(1, 2))


def kept_mask(scores: Float[Tensor, " n"], count: int) -> Bool[Tensor, " n"]:
    """True for the `count` highest scores, exactly; of equals the first.

    Args:
        scores: (n,).
        count: how many are True; none where it is not positive.
    """
    if count <= 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    threshold = scores.kthvalue(len(scores) - count + 1).values
    mask = scores > threshold
    equal = (scores == threshold).nonzero()[: count - int(mask.sum()), 0]
    mask[equal] = True
    return mask


def kept_together(scores: Sequence[Float[Tensor, " _"]], count: int) -> list[Bool[Tensor, " _"]]:
    """`kept_mask` of all of these scores in one row, cut to their lengths again.

    Args:
        scores: rows of scores, of any lengths, that compete.
        count: how many are True in all of them together.
    """
    return list(kept_mask(torch.cat(list(scores)), count).split(list(map(len, scores))))
