"""Block influence: how much a layer turns the hidden states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from compress.core.calibration.passes import drawn_batches
from compress.core.calibration.recording import after
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch, forward, real_tokens
from compress.core.stage.context import Context
from compress.core.values import Count
from compress.prune.plan import Allocation
from compress.prune.units.criterion import UnitCriterion
from compress.prune.units.pattern import UnitPattern

__all__ = ["Similarity", "block_influence"]

Hidden = Float[Tensor, "batch length width"]


class Similarity(UnitCriterion):
    """Block influence: 1 - mean cosine similarity of a layer's input and output, over real tokens; of layers.

    A layer that hardly turns the hidden states goes first. Rows of *train* without their labels; the head need not be
    trained. The scores are those of the whole model: they are not taken again when a layer has gone.

    References:
        Men et al. 2024, arXiv 2403.03853, eq. 1.
    """

    needs_data: ClassVar[bool] = True
    draws_random_numbers: ClassVar[bool] = True

    batches: Count = Field(16, description="batches of train, drawn by the seed")
    batch_size: Count = Field(32, description="rows of a batch")

    def refuses_units(self, pattern: UnitPattern, allocation: Allocation) -> str | None:
        if pattern.part == "layers":
            return None
        return f"'similarity' compares the input and the output of a layer, and {pattern.part} have none of their own"

    def score(self, bundle: Bundle, pattern: UnitPattern, ctx: Context) -> list[Tensor]:
        sums, tokens = torch.zeros(pattern.counts(bundle.sketch())[0]), 0
        for batch in drawn_batches(bundle, ctx, batches=self.batches, batch_size=self.batch_size, word=self.name):
            passed = _passed(bundle, batch)
            real = real_tokens(batch, passed[0][0])
            sums += torch.stack([block_influence(*pair, real) * real.sum() for pair in passed]).cpu()
            tokens += int(real.sum())
        return [(sums / tokens).clamp(min=0)]


def block_influence(given: Hidden, made: Hidden, tokens: Bool[Tensor, "batch length"]) -> Float[Tensor, ""]:
    """1 - the mean over real tokens of cos(given, made).

    Args:
        given: hidden states before the layer, (batch, length, hidden).
        made: hidden states after it.
        tokens: True where there is a token and not padding.
    """
    cosines = F.cosine_similarity(given.float(), made.float(), dim=-1)
    return 1 - torch.where(tokens, cosines, 0.0).sum() / tokens.sum().clamp(min=1)


@torch.no_grad()
def _passed(bundle: Bundle, batch: Batch) -> Sequence[tuple[Tensor, Tensor]]:
    """(input, output) of each layer for one batch."""
    blocks = list(bundle.family.module_list(bundle.model))
    found: list[tuple[Tensor, Tensor]] = []
    with ExitStack() as stack:
        for block in blocks:
            stack.enter_context(after(block, _kept(found)))
        forward(bundle, batch)
    return found


def _kept(found: list[tuple[Tensor, Tensor]]) -> Callable[[Tensor, Tensor], Tensor]:
    def keep(given: Tensor, made: Tensor) -> Tensor:
        found.append((given, made))
        return made

    return keep
