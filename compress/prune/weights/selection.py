"""From scores of weights to masks: who competes with whom."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from compress.core.errors import InputError, StageFailed
from compress.core.model.masks import Masks
from compress.prune.plan import Allocation
from compress.prune.selection import kept_count, kept_mask, kept_together

__all__ = ["check_left", "keep_highest"]


def keep_highest(
    scores: Mapping[str, Float[Tensor, "..."]],
    sparsity: float,
    *,
    allocation: Allocation = "uniform",
    types: Mapping[str, str] | None = None,
    within: Mapping[str, Tensor] | None = None,
    floor: float = 0.0,
) -> Masks:
    """Masks that keep the highest scores: exactly the nearest count to (1 - sparsity) of the weights that compete.

    Args:
        scores: name of a parameter -> a score for each of its weights; higher stays, of equals the first.
        sparsity: share of all weights that is cut, those that were cut before included.
        allocation: who competes: the weights of one parameter, of all parameters of one type, or all.
        types: name -> type (the role in a block), where `allocation` is `per_type`.
        within: masks from before: what they cut stays cut.
        floor: the least share of each parameter that stays where several compete; one weight always does.

    Raises:
        InputError: fewer weights would stay than the floors ask for, or more than `within` has.
        StageFailed: a score is no number.
    """
    groups = _groups(scores, allocation, types or {})
    return {name: mask for group in groups for name, mask in _of_group(group, sparsity, within or {}, floor).items()}


def check_left(left: int, *, of: int, sparsity: float) -> None:
    """Raise `InputError` where fewer units are left already than stay at a sparsity of all `of` them.

    Args:
        left: units that earlier masks left.
        of: all units.
        sparsity: share of all that is to be cut, from 0 to 1.
    """
    if kept_count(of, sparsity) > left:
        raise InputError(f"more weights are cut already than sparsity {sparsity} asks for", given=sparsity)


def _groups(scores: Mapping[str, Tensor], allocation: Allocation, types: Mapping[str, str]) -> list[dict[str, Tensor]]:
    groups: dict[str, dict[str, Tensor]] = {}
    for name, score in scores.items():
        if not bool(torch.isfinite(score).all()):
            raise StageFailed("a score of a weight is not finite", given=name)
        key = {"uniform": name, "per_type": types.get(name, name), "global": ""}[allocation]
        groups.setdefault(key, {})[name] = score
    return list(groups.values())


def _of_group(scores: Mapping[str, Tensor], sparsity: float, within: Mapping[str, Tensor], floor: float) -> Masks:
    flat = [_flat(score, within.get(name), floor) for name, score in scores.items()]
    size, least = sum(map(len, flat)), sum(int((each == torch.inf).sum()) for each in flat)
    count = kept_count(size, sparsity)
    if count < least:
        raise InputError(
            f"sparsity {sparsity} leaves {count} of {size} weights, and {least} must stay so that no matrix "
            "is left empty",
            advice="choose a smaller sparsity",
        )
    check_left(sum(int((each > -torch.inf).sum()) for each in flat), of=size, sparsity=sparsity)
    kept = kept_together(flat, count)
    return {name: mask.reshape(score.shape) for mask, (name, score) in zip(kept, scores.items(), strict=True)}


def _flat(score: Tensor, before: Tensor | None, floor: float) -> Tensor:
    """The scores in a row: those that were cut before at the very bottom, those of the floor at the very top."""
    flat = score.detach().reshape(-1).float().clone()
    if before is not None:
        flat[~before.reshape(-1).to(flat.device)] = -torch.inf
    least = max(1, kept_count(len(flat), 1 - floor) if floor else 1)
    flat[kept_mask(flat, least)] = torch.inf
    return flat
