"""Groups of neighbouring blocks that share parameters."""

from __future__ import annotations

__all__ = ["Groups", "even_groups"]

Groups = tuple[tuple[int, ...], ...]


def even_groups(layers: int, groups: int) -> Groups:
    """The blocks from 0 to `layers` - 1 in `groups` runs of neighbours, of sizes as equal as possible.

    Block i is in group floor(i / (layers / groups)), in floating point as in transformers' `AlbertTransformer`.

    Args:
        layers: number of blocks.
        groups: from 1 to `layers`.

    >>> even_groups(5, 2)
    ((0, 1, 2), (3, 4))
    """
    found: list[list[int]] = [[] for _ in range(groups)]
    for number in range(layers):
        found[int(number / (layers / groups))].append(number)
    return tuple(tuple(group) for group in found)
