"""Activation-aware decomposition: the least squared error of the outputs."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from compress.core.calibration.passes import drawn_batches
from compress.core.calibration.recording import recorded_tokens
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch, forward, padding_mask
from compress.core.stage.context import Context
from compress.core.values import Count
from compress.factorize.decomposition import Decomposition, Users
from compress.factorize.decompositions.low_rank import Weighting

__all__ = ["Activations", "second_moments"]


class Activations(Decomposition):
    """Activation-aware SVD: the least mean squared error of each linear's outputs on calibration batches, at the rank.

    W L = U S V^T is truncated, with C = E[x x^T] = L L^T (Cholesky) the second moment of the linear's inputs, and the
    factors are U_r and U_r^T W. The batches are of *train*; padding is left out.

    References:
        Chen et al. 2021 (DRONE), NeurIPS; Wang et al. 2024 (SVD-LLM), arXiv 2403.07378, section 3.1.
    """

    needs_data: ClassVar[bool] = True
    draws_random_numbers: ClassVar[bool] = True

    batches: Count = Field(16, description="calibration batches of train, drawn by the seed")
    batch_size: Count = Field(32, description="rows of a calibration batch")

    def weightings(self, bundle: Bundle, modules: Users, ctx: Context) -> dict[str, Weighting]:
        sums: dict[str, Tensor] = {}
        tokens: dict[str, int] = dict.fromkeys(modules, 0)
        drawn = drawn_batches(bundle, ctx, batches=self.batches, batch_size=self.batch_size, word=self.name)
        for batch in drawn:
            for path, (moment, count) in second_moments(bundle, modules, batch).items():
                sums[path] = sums[path].add_(moment) if path in sums else moment
                tokens[path] += count
        return {path: Weighting(inputs=sums[path] / max(1, tokens[path])) for path in modules}


def second_moments(bundle: Bundle, modules: Users, batch: Batch) -> dict[str, tuple[Float[Tensor, "in in"], int]]:
    """Second moments of the inputs: path -> (sum of x x^T over the batch's real tokens, the number of tokens).

    Args:
        bundle: the model; run without gradients, in evaluation mode.
        modules: path -> the linears that use the matrix; their inputs are summed.
        batch: encoded rows; padding is left out by `attention_mask`.
    """
    with torch.no_grad(), recorded_tokens(modules, padding_mask(batch)) as seen:
        forward(bundle, batch)
    return {path: _moment(seen[path]) for path in modules}


def _moment(calls: list[Float[Tensor, "tokens in"]]) -> tuple[Tensor, int]:
    rows = torch.cat(calls).float()
    return rows.T @ rows, len(rows)
