"""Initialisation by the one block of a group that changes the last hidden states least."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from compress.core.calibration.passes import drawn_batches
from compress.core.calibration.recording import after
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch, forward, real_tokens
from compress.core.model.sharing import What, share_blocks
from compress.core.stage.context import Context
from compress.core.values import Count
from compress.share.groups import Groups
from compress.share.origin import Origin

__all__ = ["Pick", "relative_error"]


class Pick(Origin):
    """Block of each group with the least relative error of the last hidden states when it is used for the whole group.

    Each block of a group is tried in turn, the other groups as they are. The error is sum (h' - h)^2 / sum h^2 over the
    real tokens of calibration batches of *train*, with h the hidden states of the last layer. No head is needed.
    """

    needs_data: ClassVar[bool] = True
    draws_random_numbers: ClassVar[bool] = True

    batches: Count = Field(8, description="calibration batches of train, drawn by the seed")
    batch_size: Count = Field(32, description="rows of a calibration batch")

    def sources(self, bundle: Bundle, groups: Groups, what: What, ctx: Context) -> Groups:
        asked = {"batches": self.batches, "batch_size": self.batch_size}
        batches = list(drawn_batches(bundle, ctx, **asked, word=self.name))
        before = _last_layer(bundle, batches)
        errors = [_errors(bundle, group, what, batches, before) for group in groups]
        ctx.note(error_as_shared=[[float(f"{error:.4g}") for error in group] for group in errors])
        return tuple((group[found.index(min(found))],) for group, found in zip(groups, errors))


def relative_error(
    found: Float[Tensor, "batch length width"],
    expected: Float[Tensor, "batch length width"],
    tokens: Bool[Tensor, "batch length"],
) -> float:
    """Relative squared error sum (found - expected)^2 / sum expected^2 over the real tokens.

    Args:
        found: hidden states.
        expected: hidden states to compare with.
        tokens: True for real tokens; padding is False.
    """
    wrong = (found - expected).square().sum(-1)[tokens].sum()
    return float(wrong / expected.square().sum(-1)[tokens].sum())


def _errors(
    bundle: Bundle, group: tuple[int, ...], what: What, batches: list[Batch], before: list[Tensor]
) -> list[float]:
    """For each block of the group, the mean error over batches where it is used for all of them."""
    if len(group) == 1:
        return [0.0]
    found = []
    for number in group:
        tried = bundle.copy()
        share_blocks(tried.model, tried.family, what=what, groups=(group,), sources=((number,),))
        after = _last_layer(tried, batches)
        errors = [relative_error(a, b, real_tokens(batch, b)) for a, b, batch in zip(after, before, batches)]
        found.append(sum(errors) / len(errors))
    return found


@torch.no_grad()
def _last_layer(bundle: Bundle, batches: list[Batch]) -> list[Tensor]:
    """Hidden states of the last block for each batch, in evaluation mode."""
    seen: list[Tensor] = []
    block = bundle.family.module_list(bundle.model)[-1]

    def keep(_: Tensor, made: Tensor) -> Tensor:
        seen.append(made.float())
        return made

    with after(block, keep):
        for batch in batches:
            forward(bundle, batch)
    return seen
