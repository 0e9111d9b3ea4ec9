"""The overlap of two tickets' masks: Jaccard's index, and what it is by chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Bool
from torch import Tensor

from compress.core.errors import InputError

__all__ = ["Overlap", "by_chance", "jaccard", "overlap", "overlap_by_parameter"]


@dataclass(frozen=True)
class Overlap:
    """Jaccard's index of what both keep, and of what both remove: 1 where they agree, 0 where they share nothing."""

    kept: float
    removed: float


def jaccard(one: Bool[Tensor, "..."], other: Bool[Tensor, "..."]) -> float:
    """|A and B| / |A or B|; 1 where both are empty.  Jaccard 1912, New Phytologist 11, 37-50.

    Args:
        one, other: boolean tensors of one shape.
    """
    return _share(int((one & other).sum()), int((one | other).sum()))


def overlap_by_parameter(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> dict[str, Overlap]:
    """The overlap of two tickets in each parameter.

    Args:
        one, other: name of a parameter -> boolean tensor, True where kept.

    Raises:
        InputError: they are masks of other parameters, or of other shapes.
    """
    _check(one, other)
    return {name: Overlap(jaccard(mask, other[name]), jaccard(~mask, ~other[name])) for name, mask in one.items()}


def overlap(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> Overlap:
    """The overlap of two tickets over all their weights together.

    Args:
        one, other: name of a parameter -> boolean tensor, True where kept.

    Raises:
        InputError: they are masks of other parameters, or of other shapes.
    """
    _check(one, other)
    both = sum(int((mask & other[name]).sum()) for name, mask in one.items())
    either = sum(int((mask | other[name]).sum()) for name, mask in one.items())
    weights = sum(mask.numel() for mask in one.values())
    # What one of the two removes is all that not both keep; what both remove is all that neither keeps.
    return Overlap(_share(both, either), _share(weights - either, weights - both))


def by_chance(remaining: float, other: float | None = None) -> Overlap:
    """What two masks that keep shares p and q at random have in common: p q / (p + q - p q) of the kept, and so of the
    removed.

    Args:
        remaining: p.
        other: q; the same unless given.
    """
    kept = (remaining, remaining if other is None else other)
    return Overlap(_expected(*kept), _expected(*(1 - share for share in kept)))


def _expected(one: float, other: float) -> float:
    return _share(one * other, one + other - one * other)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 1.0


def _check(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    if set(one) != set(other):
        raise InputError("these are masks of different parameters", given=sorted(set(one) ^ set(other))[:3])
    for name, mask in one.items():
        if mask.shape != other[name].shape:
            raise InputError(f"these are masks of different shapes of {name}", given=(mask.shape, other[name].shape))
