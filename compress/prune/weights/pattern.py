"""Single weights, or small groups of them, that become zero where they lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Bool, Float
from pydantic import ValidationError
from torch import Tensor

from compress.core.model.masks import Masks
from compress.core.model.sketch import Sketch
from compress.prune.keep import Allocation, keep_highest
from compress.prune.units.pattern import Pattern

__all__ = ["Scores", "WeightPattern", "input_sizes", "other_than_own", "output_sizes", "own_sparsity", "unused"]

SAME = 1e-4
"""Shares nearer than this are the same."""
Scores = Mapping[str, Float[Tensor, "out in"]]


class WeightPattern(Pattern):
    """Weights of the blocks' matrices that are masked: the tensors keep their size, and their zeros are held.

    All matrices are seen as (out, in), however their linear stores them.
    """

    def own_sparsity(self) -> float | None:
        """The share that is cut, where the pattern says it."""
        return None

    def unit(self) -> int:
        """How many weights stay or go together."""
        return 1

    def towards(self, sparsity: float) -> WeightPattern | None:
        """The pattern that cuts so much on the way to this one; None where that is nothing."""
        return self if sparsity > 0 else None

    def left(self, mask: Bool[Tensor, "out in"]) -> int:
        """How many units a mask leaves, whole or in part."""
        return int(mask.sum())

    def by_unit(self, scores: Float[Tensor, "out in"]) -> Float[Tensor, "out in"]:
        """Each weight's score, as that of what it stays or goes together with."""
        return scores

    def refuses(self, sketch: Sketch) -> str | None:
        """Why it does not fit the matrices of such a model, or None."""
        return None

    def masks(
        self,
        scores: Scores,
        sparsity: float,
        *,
        allocation: Allocation = "uniform",
        types: Mapping[str, str] | None = None,
        within: Mapping[str, Tensor] | None = None,
        floor: float = 0.0,
    ) -> Masks:
        """Masks of the matrices' shape, (out, in); the arguments are those of `keep_highest`."""
        return keep_highest(scores, sparsity, allocation=allocation, types=types, within=within, floor=floor)

    def mask_by_output(self, scores: Float[Tensor, "out in"], sparsity: float) -> Bool[Tensor, "out in"]:
        """The mask of one matrix whose scores compare within an output (a row) alone."""
        return self.masks({"": scores}, sparsity)[""]


def input_sizes(sketch: Sketch) -> set[int]:
    """Widths of what enters the linears of the blocks."""
    return {sketch.hidden, *(heads * sketch.head_size for heads in sketch.heads), *sketch.neurons} - {0}


def output_sizes(sketch: Sketch) -> set[int]:
    """Widths of what leaves them; fused ones are multiples of these."""
    return input_sizes(sketch)


def unused(pattern: Pattern, allocation: Allocation, floor: float, *, usual: Allocation) -> str | None:
    """Why a setting would change nothing with such a pattern, or None.

    Args:
        pattern: what is pruned.
        allocation: who competes.
        floor: least share of each matrix that stays.
        usual: the allocation where none is given.
    """
    if own_sparsity(pattern) is not None and (allocation != usual or floor):
        what = "floor" if allocation == usual else "allocation"
        return f"{pattern.name} itself says what stays in each matrix; leave {what!r} out"
    if floor and not isinstance(pattern, WeightPattern):
        return f"'floor' is of weights that compete; with {pattern.name} leave it out"
    if floor and allocation == "uniform":
        return "'floor' is of matrices that compete, and with the allocation 'uniform' none do; leave it out"
    return None


def other_than_own(pattern: Pattern, sparsity: float, *, word: str) -> str | None:
    """Why such a sparsity, of the setting `word`, contradicts the share that the pattern cuts by itself, or None."""
    own = own_sparsity(pattern)
    if own is None or abs(own - sparsity) <= SAME:
        return None
    return f"the pattern itself cuts {own:g} of the weights; leave {word!r} out"


def own_sparsity(pattern: Any) -> float | None:
    """The share that a pattern of weights cuts by itself, from its value or its form in a recipe."""
    if isinstance(pattern, Pattern):
        return pattern.own_sparsity() if isinstance(pattern, WeightPattern) else None
    name = next(iter(pattern), None) if isinstance(pattern, dict) and len(pattern) == 1 else pattern
    member = Pattern.members().get(name) if isinstance(name, str) else None
    if member is None or not issubclass(member, WeightPattern):
        return None
    try:
        return own_sparsity(Pattern.parse(pattern))
    except ValidationError:
        return None  # the field itself says what is wrong with it
