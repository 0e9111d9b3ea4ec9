"""The control: chance."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from compress.core.bundle import Bundle
from compress.core.context import Context
from compress.prune.criterion import Criterion
from compress.prune.pattern import Pattern

__all__ = ["Random"]


class Random(Criterion):
    """Chance, by the seed: what any other criterion must beat."""

    draws_random_numbers: ClassVar[bool] = True

    def score(self, bundle: Bundle, pattern: Pattern, ctx: Context) -> list[Tensor]:
        generator = ctx.generator()
        return [torch.rand(count, generator=generator) for count in pattern.counts(bundle.sketch())]
