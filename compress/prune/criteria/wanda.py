"""Size of a weight times the size of what it meets."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from compress.core.model.bundle import Bundle
from compress.core.model.matrices import as_stored, block_matrices
from compress.core.stage.context import Context
from compress.core.training.calibration import drawn
from compress.core.training.passing import solved_in_passing
from compress.core.values import Count
from compress.prune.criterion import Criterion
from compress.prune.selection import kept_mask
from compress.prune.units.pattern import Pattern
from compress.prune.weights.elements import Elements
from compress.prune.weights.mask import Mask

if TYPE_CHECKING:
    from compress.prune.weights.plan import WeightPlan

__all__ = ["Wanda", "wanda_scores"]


class Wanda(Criterion):
    """|w| times the norm of the input that it meets, compared within each output; one forward pass.

    Each matrix sees the inputs that those cut before it give. Padding does not count. Where an earlier pruning left an
    output fewer weights than its share, the best single weights of the whole matrix make up for it.

    References:
        Sun et al. 2024, arXiv 2306.11695, eq. 1 and section 3.
    """

    needs_data: ClassVar[bool] = True
    draws_random_numbers: ClassVar[bool] = True
    units: ClassVar[bool] = False
    weights: ClassVar[bool] = True

    rows: Count = Field(128, description="rows of train, drawn by the seed and computed together")

    def unfit(self, pattern: Pattern, allocation: str) -> str | None:
        if allocation != "uniform":
            return f"wanda compares weights of one output; with it the allocation is 'uniform', not {allocation!r}"
        return super().unfit(pattern, allocation)

    def mask(self, bundle: Bundle, plan: WeightPlan, ctx: Context) -> Mask:
        matrices = block_matrices(bundle)
        before, found = plan.before_each(bundle, matrices), dict[str, Tensor]()

        def solve(name: str, weight: Tensor, inputs: Tensor) -> Tensor:
            scores = wanda_scores(weight, inputs.norm(dim=0))
            alive = before.get(name, torch.ones_like(weight, dtype=torch.bool))
            chosen = plan.pattern.mask_by_output(scores.masked_fill(~alive, -1), plan.sparsity)
            found[name] = _made_up(chosen, alive, scores) if isinstance(plan.pattern, Elements) else chosen & alive
            return weight * found[name]

        solved_in_passing(bundle, matrices, drawn(bundle, ctx, self.rows, word="wanda"), solve)
        return Mask.of(as_stored(matrices, found))


def _made_up(chosen: Tensor, alive: Tensor, scores: Tensor) -> Tensor:
    """`chosen` of what is alive; where an output has too few of these, the best of the matrix stay instead."""
    kept = chosen & alive
    others = alive & ~kept
    missing = min(int(chosen.sum() - kept.sum()), int(others.sum()))
    return kept | kept_mask(scores.masked_fill(~others, -1).flatten(), missing).view_as(kept)


def wanda_scores(weight: Float[Tensor, "out in"], norms: Float[Tensor, " in"]) -> Float[Tensor, "out in"]:
    """|W_ij| ||X_j||.

    Args:
        weight: of the linear.
        norms: L2 norm over all tokens, of each input.
    """
    return weight.abs() * norms
