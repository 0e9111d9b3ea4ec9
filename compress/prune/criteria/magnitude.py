"""Magnitude: the norm of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from compress.core.model.bundle import Bundle
from compress.core.model.matrices import Matrix
from compress.core.stage.context import Context
from compress.prune.units.criterion import UnitCriterion
from compress.prune.units.pattern import UnitPattern
from compress.prune.weights.criterion import WeightScoreCriterion

__all__ = ["Magnitude", "unit_norms"]


class Magnitude(UnitCriterion, WeightScoreCriterion):
    """Magnitude: |w| of a weight, or the L2 norm of all weights of a unit, without biases; no data.

    References:
        Han et al. 2015, arXiv 1506.02626; of filters Li et al. 2017, arXiv 1608.08710, with the L1 norm.
    """

    def score(self, bundle: Bundle, pattern: UnitPattern, ctx: Context) -> list[Tensor]:
        return [unit_norms(weights) for weights in pattern.weights(bundle)]

    def score_weights(self, bundle: Bundle, matrices: Mapping[str, Matrix], ctx: Context) -> dict[str, Tensor]:
        return {name: part.weight.abs() for name, part in matrices.items()}


def unit_norms(weights: Sequence[Float[Tensor, "units _"]]) -> Float[Tensor, " units"]:
    """sqrt(sum of squares) over all weights of each unit.

    Args:
        weights: matrices with one row for each unit.
    """
    with torch.no_grad():
        return torch.stack([weight.float().square().sum(1) for weight in weights]).sum(0).sqrt().cpu()
