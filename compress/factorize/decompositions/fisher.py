"""Rows weighted by how much the loss feels them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from compress.core.errors import InputError, Refusal
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch
from compress.core.stage.context import Context
from compress.core.training.fit import Objective
from compress.core.values import Count
from compress.factorize.decomposition import Decomposition, Users
from compress.factorize.low_rank import OVERFLOW, Weighting, check_finite
from compress.factorize.watching import with_outputs

__all__ = ["Fisher", "row_information", "squared_row_gradients"]


class Fisher(Decomposition):
    """The least squared error of the weights, each row (output) weighted by its Fisher information for the task.

    The information of a weight is the mean over examples of its squared gradient; a row's is the sum over its weights,
    and the row is multiplied by the root. The gradient is taken for each example apart, without dropout.

    References:
        Hsu et al. 2022 (FWSVD), arXiv 2207.00112, section 3.
    """

    needs_data: ClassVar[bool] = True
    draws_random_numbers: ClassVar[bool] = True
    needs_head: ClassVar[bool] = True

    batches: Count = Field(16, description="batches of train, drawn by the seed")
    batch_size: Count = Field(32, description="rows of a batch")

    def weightings(self, bundle: Bundle, modules: Users, ctx: Context) -> dict[str, Weighting]:
        from tqdm.auto import tqdm

        drawn = ctx.batches(bundle, part="train", count=self.batches, batch_size=self.batch_size)
        progress = tqdm(drawn, total=self.batches, desc="fisher", unit=" batches", disable=None, leave=False)
        sums: dict[str, Tensor] = {}
        rows = 0
        for batch in progress:
            for path, found in row_information(bundle, modules, batch, ctx.task_objective()).items():
                sums[path] = sums[path] + found if path in sums else found
            rows += len(batch["labels"])
        if not rows:
            raise InputError("fisher needs rows of train, and there are none")
        for path, total in sums.items():
            check_finite(total, what=f"the squared gradients of {path}", advice=OVERFLOW)
        return {path: Weighting(rows=_root(total / rows)) for path, total in sums.items()}


def row_information(
    bundle: Bundle, modules: Users, batch: Batch, objective: Objective
) -> dict[str, Float[Tensor, " out"]]:
    """Path -> sum over the batch's examples of each row's squared gradients; the model stays as it is."""
    was_training = bundle.model.training
    bundle.model.eval()
    rows = len(batch["labels"])
    with torch.enable_grad(), with_outputs(modules) as seen:
        # The objective is the mean over rows, and a row's loss depends on its own outputs alone.
        loss = objective(bundle.model, batch) * rows
        outputs = [output for calls in seen.values() for _, output in calls]
        gradients = iter(torch.autograd.grad(loss, outputs))
    bundle.model.train(was_training)
    _check_rows(seen, rows, bundle.family.model_type)
    pairs = {path: [(inputs, next(gradients)) for inputs, _ in calls] for path, calls in seen.items()}
    return {path: squared_row_gradients(calls) for path, calls in pairs.items()}


def squared_row_gradients(
    calls: Sequence[tuple[Float[Tensor, "batch length in"], Float[Tensor, "batch length out"]]],
) -> Float[Tensor, " out"]:
    """Sum over examples and inputs of (dL/dW)^2, for each output.

    An example's gradient is sum_t g_t x_t^T, over the tokens of all calls. The squares of its row i sum to
    sum_ts g_ti (x_t . x_s) g_si, so that no gradient of the size of the weight is ever made.

    Args:
        calls: (input, gradient of the output) of each call of the linear.
    """
    inputs = torch.cat([x.float() for x, _ in calls], dim=1)
    gradients = torch.cat([g.float() for _, g in calls], dim=1)
    products = inputs @ inputs.transpose(1, 2)
    return ((products @ gradients) * gradients).sum((0, 1)).clamp(min=0)


def _root(information: Float[Tensor, " out"]) -> Float[Tensor, " out"]:
    """Of a mean of one; equal weights where the loss feels nothing."""
    mean = information.double().mean()
    return (information.double() / mean).sqrt() if mean > 0 else torch.ones_like(information, dtype=torch.float64)


def _check_rows(seen: Mapping[str, list[tuple[Tensor, Tensor]]], rows: int, model_type: str) -> None:
    if any(x.dim() != 3 or len(x) != rows for calls in seen.values() for x, _ in calls):
        what = f"fisher needs the blocks of a {model_type} model to compute (rows, tokens, width), one row per example"
        raise Refusal(what, advice="choose `by: activations`, or `svd`")
