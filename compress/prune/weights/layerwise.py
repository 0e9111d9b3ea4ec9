"""Layer-wise pruning: matrices are pruned in their order, each with the inputs that those pruned before it give."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from compress.core.calibration.passes import drawn, solved_in_passing
from compress.core.model.bundle import Bundle
from compress.core.model.matrices import as_stored, block_matrices
from compress.core.stage.context import Context
from compress.core.values import Count
from compress.prune.plan import Allocation
from compress.prune.weights.criterion import WeightCriterion
from compress.prune.weights.mask import Mask
from compress.prune.weights.pattern import WeightPattern
from compress.prune.weights.plan import WeightPlan

__all__ = ["LayerwiseCriterion"]


class LayerwiseCriterion(WeightCriterion):
    """One forward pass of calibration rows; padding does not count."""

    needs_data: ClassVar[bool] = True
    draws_random_numbers: ClassVar[bool] = True
    updates_weights: ClassVar[bool] = False
    """Whether the weights that stay are adjusted."""

    rows: Count = Field(128, description="rows of train, drawn by the seed and computed together")

    @abstractmethod
    def prune_matrix(
        self,
        weight: Float[Tensor, "out in"],
        inputs: Float[Tensor, "tokens in"],
        *,
        alive: Bool[Tensor, "out in"],
        plan: WeightPlan,
    ) -> tuple[Float[Tensor, "out in"], Bool[Tensor, "out in"]]:
        """What the weight becomes, zero where it is cut, and its mask.

        Args:
            weight: of one linear.
            inputs: of the linear, all tokens of the calibration.
            alive: what earlier masks left; no more than that stays.
            plan: which weights go together, and how many stay.
        """

    def refuses_weights(self, pattern: WeightPattern, allocation: Allocation) -> str | None:
        if allocation != "uniform":
            return f"{self.name} prunes one matrix at a time; with it the allocation is 'uniform', not {allocation!r}"
        return None

    def mask(self, bundle: Bundle, plan: WeightPlan, ctx: Context) -> Mask:
        matrices = block_matrices(bundle)
        before = plan.before_each(bundle, matrices)
        masks, weights = dict[str, Tensor](), dict[str, Tensor]()

        def solve(name: str, weight: Tensor, inputs: Tensor) -> Tensor:
            alive = before.get(name, torch.ones_like(weight, dtype=torch.bool))
            new, masks[name] = self.prune_matrix(weight, inputs, alive=alive, plan=plan)
            if self.updates_weights:
                weights[name] = new
            return new

        solved_in_passing(bundle, matrices, drawn(bundle, ctx, self.rows, word=self.name), solve)
        return Mask.of(as_stored(matrices, masks), as_stored(matrices, weights))
