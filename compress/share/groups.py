"""Which blocks use the same tensors."""

from __future__ import annotations

__all__ = ["Groups", "even_groups"]

Groups = tuple[tuple[int, ...], ...]


def even_groups(layers: int, groups: int) -> Groups:
    """The blocks from 0 to `layers` - 1 in `groups` runs of neighbours, as equal as they can be.

    Block i is in group floor(i / (layers / groups)), in floating point as transformers' `AlbertTransformer` has it.

    >>> even_groups(5, 2)
    ((0, 1, 2), (3, 4))
    """
    found: list[list[int]] = [[] for _ in range(groups)]
    for number in range(layers):
        found[int(number / (layers / groups))].append(number)
    return tuple(tuple(group) for group in found)
