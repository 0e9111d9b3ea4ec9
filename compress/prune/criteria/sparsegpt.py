"""SparseGPT: optimal brain surgery, one column after the other."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from compress.core.values import Count, Positive
from compress.prune.criteria.sparsegpt_solver import Solver
from compress.prune.plan import Allocation
from compress.prune.weights.layerwise import LayerwiseCriterion
from compress.prune.weights.pattern import WeightPattern
from compress.prune.weights.plan import WeightPlan

__all__ = ["SparseGPT"]


class SparseGPT(LayerwiseCriterion):
    """SparseGPT: the reconstruction error w^2 / U_ii^2 of a removed weight, and the update of those that stay.

    U is the upper Cholesky factor of the inverse Hessian (X^T X + damping)^-1 of the layer's inputs. One forward pass;
    each matrix sees the inputs that those pruned before it give. Padding does not count.

    References:
        Frantar and Alistarh 2023, arXiv 2301.00774, algorithm 1.
    """

    name: ClassVar[str] = "sparsegpt"
    updates_weights: ClassVar[bool] = True

    columns: Count = Field(128, description="inputs whose weights are chosen together")
    damping: Positive = Field(0.01, description="added to the Hessian's diagonal, as a share of its mean")

    def refuses_weights(self, pattern: WeightPattern, allocation: Allocation) -> str | None:
        if not (pattern.single or pattern.n_of_m()):
            return f"sparsegpt chooses single weights or n of m, not {pattern.name}"
        return super().refuses_weights(pattern, allocation)

    def prune_matrix(
        self,
        weight: Float[Tensor, "out in"],
        inputs: Float[Tensor, "tokens in"],
        *,
        alive: Bool[Tensor, "out in"],
        plan: WeightPlan,
    ) -> tuple[Float[Tensor, "out in"], Bool[Tensor, "out in"]]:
        solver = Solver(plan.sparsity, plan.pattern.n_of_m(), columns=self.columns, damping=self.damping)
        return solver(weight, inputs, alive=alive)
