"""Fisher-weighted SVD: rows weighted by their Fisher information for the task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from compress.core.calibration.passes import mean_over_rows
from compress.core.calibration.per_example_gradients import check_rows, example_gradients
from compress.core.calibration.recording import recorded_calls
from compress.core.fit.protocol import Objective
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch
from compress.core.stage.context import Context
from compress.core.values import Count
from compress.factorize.decomposition import Decomposition, Users
from compress.factorize.decompositions.low_rank import OVERFLOW, Weighting, check_finite

__all__ = ["Fisher", "row_information", "squared_row_gradients"]


class Fisher(Decomposition):
    """Fisher-weighted SVD (FWSVD): the least squared error of the weights, each row weighted by its Fisher information.

    D W = U S V^T is truncated, with D_i the square root of the sum over row i (one output) of the mean over examples of
    (dL/dw)^2. The gradient is taken for each example apart, without dropout.

    References:
        Hsu et al. 2022 (FWSVD), arXiv 2207.00112, section 3.
    """

    needs_data: ClassVar[bool] = True
    draws_random_numbers: ClassVar[bool] = True
    needs_head: ClassVar[bool] = True

    batches: Count = Field(16, description="calibration batches of train, drawn by the seed")
    batch_size: Count = Field(32, description="rows of a calibration batch")

    def weightings(self, bundle: Bundle, modules: Users, ctx: Context) -> dict[str, Weighting]:
        def totals(batch: Batch) -> list[Tensor]:
            return row_information(bundle, modules, batch, ctx.task_objective())

        drawn = {"batches": self.batches, "batch_size": self.batch_size}
        means = dict(zip(modules, mean_over_rows(bundle, ctx, totals, **drawn, word=self.name), strict=True))
        for path, mean in means.items():
            check_finite(mean, what=f"the squared gradients of {path}", advice=OVERFLOW)
        return {path: Weighting(rows=_root(mean)) for path, mean in means.items()}


def row_information(bundle: Bundle, modules: Users, batch: Batch, objective: Objective) -> list[Float[Tensor, " out"]]:
    """Fisher information of rows: for each matrix, the sum over the batch's examples of each row's squared gradients.

    Args:
        bundle: the model, which stays as it is.
        modules: path -> the linears that use the matrix.
        batch: encoded rows with their labels.
        objective: gives the loss of the batch, a mean over its examples.
    """
    with recorded_calls(modules.values()) as seen:
        gradients = example_gradients(bundle, batch, objective, [calls.outputs for calls in seen])
    inputs, advice = [calls.inputs for calls in seen], "choose `by: activations`, or `svd`"
    check_rows(inputs, batch, bundle=bundle, who="fisher needs", advice=advice)
    return [squared_row_gradients(list(zip(x, g, strict=True))) for x, g in zip(inputs, gradients)]


def squared_row_gradients(
    calls: Sequence[tuple[Float[Tensor, "batch length in"], Float[Tensor, "batch length out"]]],
) -> Float[Tensor, " out"]:
    """Sum over examples and inputs of (dL/dW)^2, for each output.

    An example's gradient is sum_t g_t x_t^T, over the tokens of all calls. The squares of its row i sum to
    sum_ts g_ti (x_t . x_s) g_si, so that no gradient of the size of the weight is ever computed.

    Args:
        calls: (input, gradient of the output) of each call of the linear.
    """
    inputs = torch.cat([x.float() for x, _ in calls], dim=1)
    gradients = torch.cat([g.float() for _, g in calls], dim=1)
    products = inputs @ inputs.transpose(1, 2)
    return ((products @ gradients) * gradients).sum((0, 1)).clamp(min=0)


def _root(information: Float[Tensor, " out"]) -> Float[Tensor, " out"]:
    """Square roots, scaled to a mean information of one; equal weights where all gradients are zero."""
    mean = information.double().mean()
    return (information.double() / mean).sqrt() if mean > 0 else torch.ones_like(information, dtype=torch.float64)
