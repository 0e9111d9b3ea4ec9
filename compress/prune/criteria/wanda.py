"""Wanda: |W| times the L2 norm of the input feature."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from compress.prune.selection import kept_mask
from compress.prune.weights.layerwise import LayerwiseCriterion
from compress.prune.weights.plan import WeightPlan

__all__ = ["Wanda", "wanda_scores"]


class Wanda(LayerwiseCriterion):
    """Wanda: |W| times the L2 norm of the input feature, compared within each output; one forward pass.

    S_ij = |W_ij| ||X_j||_2. Each matrix sees the inputs that those pruned before it give; padding does not count.
    Where an earlier pruning left an output fewer weights than its share, the best single weights of the whole matrix
    make up for it.

    References:
        Sun et al. 2024, arXiv 2306.11695, eq. 1 and section 3.
    """

    def prune_matrix(
        self,
        weight: Float[Tensor, "out in"],
        inputs: Float[Tensor, "tokens in"],
        *,
        alive: Bool[Tensor, "out in"],
        plan: WeightPlan,
    ) -> tuple[Float[Tensor, "out in"], Bool[Tensor, "out in"]]:
        scores = wanda_scores(weight, inputs.norm(dim=0))
        chosen = plan.pattern.mask_by_output(scores.masked_fill(~alive, -1), plan.sparsity)
        mask = _filled_up(chosen, alive, scores) if plan.pattern.single else chosen & alive
        return weight * mask, mask


def _filled_up(chosen: Tensor, alive: Tensor, scores: Tensor) -> Tensor:
    """`chosen` of what is alive; where an output has too few of these, the best of the matrix stay instead."""
    kept = chosen & alive
    others = alive & ~kept
    missing = min(int(chosen.sum() - kept.sum()), int(others.sum()))
    return kept | kept_mask(scores.masked_fill(~others, -1).flatten(), missing).view_as(kept)


def wanda_scores(weight: Float[Tensor, "out in"], norms: Float[Tensor, " in"]) -> Float[Tensor, "out in"]:
    """S_ij = |W_ij| ||X_j||_2.

    Args:
        weight: W of the linear, (out, in).
        norms: L2 norm of each input feature over all tokens, (in,).

    References:
        Sun et al. 2024, arXiv 2306.11695, eq. 1.
    """
    return weight.abs() * norms
