"""The weights whose absence the others can best make up for; and the others make up for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from compress.core.model.bundle import Bundle
from compress.core.model.matrices import as_stored, block_matrices
from compress.core.stage.context import Context
from compress.core.training.calibration import drawn
from compress.core.training.passing import solved_in_passing
from compress.core.values import Count, Positive
from compress.prune.criterion import Criterion
from compress.prune.units.pattern import Pattern
from compress.prune.weights.elements import Elements
from compress.prune.weights.mask import Mask
from compress.prune.weights.n_m import NM
from compress.prune.weights.obs import Solver

if TYPE_CHECKING:
    from compress.prune.weights.plan import WeightPlan

__all__ = ["SparseGPT"]


class SparseGPT(Criterion):
    """Error that a weight's absence leaves once the weights after it are adjusted, and that adjustment.

    One forward pass; each matrix sees the inputs that those solved before it give. Padding does not count.

    References:
        Frantar and Alistarh 2023, arXiv 2301.00774, algorithm 1.
    """

    name: ClassVar[str] = "sparsegpt"
    needs_data: ClassVar[bool] = True
    draws_random_numbers: ClassVar[bool] = True
    units: ClassVar[bool] = False
    weights: ClassVar[bool] = True

    rows: Count = Field(128, description="rows of train, drawn by the seed and computed together")
    columns: Count = Field(128, description="inputs whose weights are chosen together")
    damping: Positive = Field(0.01, description="added to the Hessian's diagonal, as a share of its mean")

    def unfit(self, pattern: Pattern, allocation: str) -> str | None:
        if not isinstance(pattern, Elements | NM):
            return f"sparsegpt chooses single weights or n of m, not {pattern.name}"
        if allocation != "uniform":
            return f"sparsegpt solves one matrix at a time; with it the allocation is 'uniform', not {allocation!r}"
        return None

    def mask(self, bundle: Bundle, plan: WeightPlan, ctx: Context) -> Mask:
        matrices = block_matrices(bundle)
        before = plan.before_each(bundle, matrices)
        group = (plan.pattern.n, plan.pattern.m) if isinstance(plan.pattern, NM) else None
        solver = Solver(plan.sparsity, group, columns=self.columns, damping=self.damping)
        masks, weights = dict[str, Tensor](), dict[str, Tensor]()

        def solve(name: str, weight: Tensor, inputs: Tensor) -> Tensor:
            alive = before.get(name, torch.ones_like(weight, dtype=torch.bool))
            weights[name], masks[name] = solver(weight, inputs, alive=alive)
            return weights[name]

        solved_in_passing(bundle, matrices, drawn(bundle, ctx, self.rows, word="sparsegpt"), solve)
        return Mask.of(as_stored(matrices, masks), as_stored(matrices, weights))
