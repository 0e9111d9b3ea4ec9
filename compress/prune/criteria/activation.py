"""Activation: how strongly a unit responds to the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from compress.core.calibration.passes import drawn_batches
from compress.core.calibration.recording import token_rows
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch, forward, padding_mask
from compress.core.stage.context import Context
from compress.core.values import Count
from compress.prune.units.criterion import UnitCriterion
from compress.prune.units.pattern import UnitPattern

__all__ = ["Activation", "unit_activations"]


class Activation(UnitCriterion):
    """Activation: mean over real tokens of |a|, a the activations of a unit; no labels, also for an untrained head.

    A unit that hardly responds to the data goes first. For ReLUs the paper counts zeros; GELUs have none, and their
    mean magnitude takes that place. Of a head a is its weighted values, of a neuron what enters the second linear, of
    a layer what it adds to its input, of an entry of the hidden size its value before the first layer and after each.
    Scores are L2-normalised in each layer, which counts only where layers compete (`allocation: global`). Rows of
    *train* without their labels; padding does not count.

    References:
        Hu et al. 2016 (Network Trimming), arXiv 1607.03250, eq. 1; the mean activation: Molchanov et al. 2017, arXiv
        1611.06440, section 2.2.
    """

    needs_data: ClassVar[bool] = True
    draws_random_numbers: ClassVar[bool] = True

    batches: Count = Field(16, description="batches of train, drawn by the seed")
    batch_size: Count = Field(32, description="rows of a batch")

    def score(self, bundle: Bundle, pattern: UnitPattern, ctx: Context) -> list[Tensor]:
        units = pattern.gate_units(bundle.sketch())
        sums, tokens = [torch.zeros(count) for count in units], [0] * len(units)
        for batch in drawn_batches(bundle, ctx, batches=self.batches, batch_size=self.batch_size, word=self.name):
            for gate, passed in enumerate(_passed(bundle, pattern, batch)):
                if len(passed):
                    sums[gate] += unit_activations(passed, units=units[gate]).cpu() * len(passed)
                    tokens[gate] += len(passed)
        means = [total / max(count, 1) for total, count in zip(sums, tokens)]
        return [F.normalize(mean[0], dim=0) for mean in pattern.grouped([mean[None] for mean in means])]


def unit_activations(activations: Float[Tensor, "tokens width"], *, units: int) -> Float[Tensor, " units"]:
    """The mean of |a| over the tokens and over the entries of each unit.

    Args:
        activations: a of each real token, (tokens, width); neighbouring entries are of one unit.
        units: how many share the width.

    References:
        Molchanov et al. 2017, arXiv 1611.06440, section 2.2, of absolute values.
    """
    return activations.float().abs().mean(0).unflatten(0, (units, -1)).mean(1)


@torch.no_grad()
def _passed(bundle: Bundle, pattern: UnitPattern, batch: Batch) -> Sequence[Float[Tensor, "tokens width"]]:
    """What passes each gate of the pattern for one batch, without padding."""
    real = padding_mask(batch)
    with pattern.gated(bundle) as seen:
        forward(bundle, batch)
    return [_tokens(calls, real) for calls in seen]


def _tokens(calls: Sequence[Tensor], real: Bool[Tensor, "batch length"] | None) -> Float[Tensor, "tokens width"]:
    return torch.cat([token_rows(call.detach(), real) for call in calls]) if calls else torch.empty(0, 1)
