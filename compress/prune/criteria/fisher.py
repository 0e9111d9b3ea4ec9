"""Fisher information: the second-order estimate of the loss without a unit or a weight."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from compress.prune.gradient_criterion import GradientCriterion

__all__ = ["Fisher"]


class Fisher(GradientCriterion):
    """Fisher information: half the mean over examples of (dL/dgate)^2; a gate is a factor on a unit or a weight.

    To second order the loss grows by so much when the gate closes, at a minimum of the loss, where the Hessian is the
    Fisher information. All layers have one scale, that of the loss, so nothing is normalised. Of a weight it is
    (w dL/dw)^2 / 2: the diagonal of the empirical Fisher information times w^2 / 2.

    References:
        Theis et al. 2018, arXiv 1801.05787, eq. 5 to 9; Molchanov et al. 2019, arXiv 1906.10771, eq. 8.
    """

    def of_example(self, gradient: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return gradient.square_()

    def of_units(self, mean: Float[Tensor, " units"]) -> Float[Tensor, " units"]:
        return mean / 2

    def of_weights(self, mean: Float[Tensor, "out in"]) -> Float[Tensor, "out in"]:
        return mean / 2
