"""Taylor importance: the first-order estimate of the loss without a unit or a weight."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from compress.prune.gradient_criterion import GradientCriterion

__all__ = ["Taylor"]


class Taylor(GradientCriterion):
    """First-order Taylor importance: mean over examples of |dL/dgate|; a gate is a factor on a unit or a weight.

    The gradient is taken for each example apart and its absolute value averaged, without dropout. Units' scores
    are L2-normalised in each layer, which makes layers comparable and counts only where they compete (`allocation:
    global`); those of weights, |w dL/dw|, are compared as they are.

    References:
        Michel et al. 2019, arXiv 1905.10650, eq. 2 and section 4.1; Molchanov et al. 2017, arXiv 1611.06440.
    """

    def of_example(self, gradient: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return gradient.abs_()

    def of_units(self, mean: Float[Tensor, " units"]) -> Float[Tensor, " units"]:
        return F.normalize(mean, dim=0)
