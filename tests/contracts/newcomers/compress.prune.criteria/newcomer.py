"""A criterion that is not there yet."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from compress.core.model.bundle import Bundle
from compress.core.model.matrices import Matrix
from compress.core.stage.context import Context
from compress.prune.units.criterion import UnitCriterion
from compress.prune.units.pattern import UnitPattern
from compress.prune.weights.criterion import WeightScoreCriterion


class Newcomer(UnitCriterion, WeightScoreCriterion):
    """L1 norm of a unit's weights, without biases, or the square of a weight; no data."""

    def score(self, bundle: Bundle, pattern: UnitPattern, ctx: Context) -> list[Tensor]:
        with torch.no_grad():
            groups = pattern.weights(bundle)
            return [torch.stack([weight.float().abs().sum(1) for weight in group]).sum(0).cpu() for group in groups]

    def score_weights(self, bundle: Bundle, matrices: Mapping[str, Matrix], ctx: Context) -> dict[str, Tensor]:
        return {name: part.weight.square() for name, part in matrices.items()}
