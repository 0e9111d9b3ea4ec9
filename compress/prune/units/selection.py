"""From scores of units to the units that stay: who competes with whom."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from compress.prune.selection import kept_count, kept_mask, kept_together

__all__ = ["best_of_all", "best_of_each", "best_of_kinds", "spread", "spread_over_kinds", "together"]

Kept = tuple[tuple[int, ...], ...]


def best_of_each(scores: Sequence[Float[Tensor, " _"]], sparsity: float) -> Kept:
    """In each block the same share of its units stays, those with the highest scores; of equals the first.

    Args:
        scores: of each block's units.
        sparsity: share that is removed, from 0 to 1.
    """
    return tuple(_places(kept_mask(score, kept_count(len(score), sparsity))) for score in scores)


def best_of_all(scores: Sequence[Float[Tensor, " _"]], sparsity: float) -> Kept:
    """Of all blocks' units together the best stay, and the best one of each block whatever its score.

    Args:
        scores: of each block's units, comparable between blocks.
        sparsity: share of all units that is removed, from 0 to 1.
    """
    own = [score.double().masked_fill(kept_mask(score, 1), torch.inf) for score in scores]
    return tuple(map(_places, kept_together(own, kept_count(sum(map(len, scores)), sparsity))))


def best_of_kinds(scores: Sequence[Float[Tensor, " _"]], sparsity: float, kinds: Sequence[Hashable]) -> Kept:
    """Of the units of each kind together the best stay, as many as `best_of_all` leaves; `kinds` names each group's.

    Args:
        scores: of each group's units, comparable within a kind.
        sparsity: share of a kind's units that is removed, from 0 to 1.
        kinds: of each group.
    """
    return _by_kind(scores, kinds, lambda part: best_of_all(part, sparsity))


def spread_over_kinds(counts: Sequence[int], sparsity: float, kinds: Sequence[Hashable]) -> Kept:
    """`spread` within each kind: a guess of what `best_of_kinds` leaves.

    Args:
        counts: units of each group.
        sparsity: share of a kind's units that is removed, from 0 to 1.
        kinds: of each group.
    """
    return _by_kind(counts, kinds, lambda part: spread(part, sparsity))


def spread(counts: Sequence[int], sparsity: float) -> Kept:
    """The first units of each block, as many in all as `best_of_all` leaves, spread evenly: a guess without scores.

    Args:
        counts: units of each block.
        sparsity: share of all units that is removed, from 0 to 1.
    """
    total, of = kept_count(sum(counts), sparsity), sum(counts)
    ends = [sum(counts[: block + 1]) * total // of for block in range(len(counts))]
    return tuple(tuple(range(max(1, end - start))) for start, end in zip([0, *ends], ends))


def _by_kind(groups: Sequence[Any], kinds: Sequence[Hashable], choose: Callable[[list[Any]], Kept]) -> Kept:
    kept: dict[int, tuple[int, ...]] = {}
    for kind in dict.fromkeys(kinds):
        members = [number for number, each in enumerate(kinds) if each == kind]
        kept.update(zip(members, choose([groups[number] for number in members])))
    return tuple(kept[number] for number in range(len(groups)))


def _places(mask: Bool[Tensor, " units"]) -> tuple[int, ...]:
    return tuple(mask.nonzero().flatten().tolist())


def together(scores: Sequence[Float[Tensor, " _"]], ties: Sequence[int]) -> list[Float[Tensor, " units"]]:
    """Copies of the scores, summed over the groups that must keep the same units: those of one number in `ties`.

    Args:
        scores: of each group's units.
        ties: a number for each group.
    """
    return [torch.stack([score for score, other in zip(scores, ties) if other == tie]).sum(0) for tie in ties]
