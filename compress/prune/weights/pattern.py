"""Unstructured and semi-structured pruning patterns: weights that are masked where they lie."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from jaxtyping import Bool, Float
from torch import Tensor

from compress.core.model.masks import Masks
from compress.core.model.sketch import Sketch
from compress.prune.pattern import Pattern
from compress.prune.plan import Allocation
from compress.prune.weights.plan import WeightPlan
from compress.prune.weights.selection import keep_highest

__all__ = ["Scores", "WeightPattern", "input_sizes", "output_sizes"]

Scores = Mapping[str, Float[Tensor, "out in"]]


class WeightPattern(Pattern):
    """Weights of the blocks' matrices that are masked: the tensors keep their size, and their zeros are held.

    All matrices are seen as (out, in), however their linear stores them.
    """

    single: ClassVar[bool] = False
    """Whether each weight stays or goes by its own score, whatever becomes of its neighbours."""

    def plan(self, sparsity: float, *, allocation: Allocation = "uniform", floor: float = 0.0) -> WeightPlan:
        return WeightPlan(self, sparsity, allocation, floor)

    def unused(self, allocation: Allocation, floor: float, *, usual: Allocation) -> str | None:
        why = super().unused(allocation, floor, usual=usual)
        if why is None and floor and allocation == "uniform":
            return "'floor' is of matrices that compete, and with the allocation 'uniform' none do; leave it out"
        return why

    def n_of_m(self) -> tuple[int, int] | None:
        """(n, m) where n of every m neighbouring inputs stay; None where none are counted."""
        return None

    def unit(self) -> int:
        """How many weights stay or go together."""
        return 1

    def towards(self, sparsity: float) -> WeightPattern | None:
        """The pattern for a smaller sparsity, before this one is reached; None where nothing is cut."""
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

    @abstractmethod
    def mask_by_output(self, scores: Float[Tensor, "out in"], sparsity: float) -> Bool[Tensor, "out in"]:
        """The mask of one matrix whose scores compare within an output (a row) alone.

        Args:
            scores: importance, (out, in).
            sparsity: share of each row's weights that is cut; a pattern with a sparsity of its own cuts that.
        """


def input_sizes(sketch: Sketch) -> set[int]:
    """Input features of the blocks' linears."""
    return {sketch.hidden, *(heads * sketch.head_size for heads in sketch.heads), *sketch.neurons} - {0}


def output_sizes(sketch: Sketch) -> set[int]:
    """Output features of the blocks' linears; fused ones are multiples of these."""
    return input_sizes(sketch)
