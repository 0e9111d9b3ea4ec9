"""Random pruning: the baseline of every criterion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from compress.core.model.bundle import Bundle
from compress.core.model.matrices import Matrix
from compress.core.stage.context import Context
from compress.prune.units.criterion import UnitCriterion
from compress.prune.units.pattern import UnitPattern
from compress.prune.weights.criterion import WeightScoreCriterion

__all__ = ["Random"]


class Random(UnitCriterion, WeightScoreCriterion):
    """Random scores, drawn by the seed: the baseline that any other criterion must beat."""

    draws_random_numbers: ClassVar[bool] = True

    def score(self, bundle: Bundle, pattern: UnitPattern, ctx: Context) -> list[Tensor]:
        generator = ctx.generator()
        return [torch.rand(count, generator=generator) for count in pattern.counts(bundle.sketch())]

    def score_weights(self, bundle: Bundle, matrices: Mapping[str, Matrix], ctx: Context) -> dict[str, Tensor]:
        generator = ctx.generator()
        return {
            name: torch.rand(part.weight.shape, generator=generator).to(part.weight.device)
            for name, part in matrices.items()
        }
