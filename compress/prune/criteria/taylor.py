"""How much the loss would move without a unit or a weight, to first order."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from compress.prune.slopes import SlopeCriterion

__all__ = ["Taylor"]


class Taylor(SlopeCriterion):
    """Mean over examples of |dL/dgate|, the gate a factor on a unit's output or on a weight.

    The gradient is taken for each example apart and its absolute value averaged, without dropout. Units' scores
    are L2-normalised in each layer, which makes layers comparable and counts only where they compete (`allocation:
    global`); those of weights, |w dL/dw|, are compared as they are.

    References:
        Michel et al. 2019, arXiv 1905.10650, eq. 2 and section 4.1; Molchanov et al. 2017, arXiv 1611.06440.
    """

    def size(self, slope: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return slope.abs_()

    def of_units(self, mean: Float[Tensor, " units"]) -> Float[Tensor, " units"]:
        return F.normalize(mean, dim=0)
