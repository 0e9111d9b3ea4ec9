"""How much the loss would move if a unit were gated, to first order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from compress.core.bundle import Bundle
from compress.core.context import Context
from compress.core.errors import InputError, Refusal
from compress.core.settings import Count
from compress.core.training import Batch, Objective
from compress.prune.criterion import Criterion
from compress.prune.gates import inputs_seen, unit_linears
from compress.prune.gradients import mean_over_rows, row_gradients
from compress.prune.matrices import Matrix
from compress.prune.pattern import Pattern

__all__ = ["Taylor", "gate_importance", "importance"]


class Taylor(Criterion):
    """Mean over examples of |dL/dgate|, the gate a factor on a unit's output or on a weight.

    The gradient is taken for each example apart and its absolute value averaged, without dropout. Units' scores
    are L2-normalised in each layer, which makes layers comparable and counts only where they compete (`allocation:
    global`); those of weights, |w dL/dw|, are compared as they are.

    References:
        Michel et al. 2019, arXiv 1905.10650, eq. 2 and section 4.1; Molchanov et al. 2017, arXiv 1611.06440.
    """

    needs_data: ClassVar[bool] = True
    draws_random_numbers: ClassVar[bool] = True
    weights: ClassVar[bool] = True

    batches: Count = Field(64, description="batches of train, drawn by the seed")
    batch_size: Count = Field(32, description="rows of a batch")

    def score(self, bundle: Bundle, pattern: Pattern, ctx: Context) -> list[Tensor]:
        from tqdm.auto import tqdm

        drawn = ctx.batches(bundle, part="train", count=self.batches, batch_size=self.batch_size)
        progress = tqdm(drawn, total=self.batches, desc="taylor", unit=" batches", disable=None, leave=False)
        counts = pattern.counts(bundle.sketch())
        sums = [torch.zeros(count) for count in counts]
        rows = 0
        for batch in progress:
            found = importance(bundle, pattern, batch, ctx.task_objective())
            sums = [total + more for total, more in zip(sums, found)]
            rows += len(batch["labels"])
        if not rows:
            raise InputError("taylor needs rows of train, and there are none")
        return [F.normalize(total / rows, dim=0) for total in sums]

    def score_weights(self, bundle: Bundle, matrices: Mapping[str, Matrix], ctx: Context) -> dict[str, Tensor]:
        rows = row_gradients(bundle, matrices, ctx, batches=self.batches, batch_size=self.batch_size, word="taylor")
        return mean_over_rows(rows, lambda name, g: (matrices[name].weight * g).abs(), word="taylor")


def importance(bundle: Bundle, pattern: Pattern, batch: Batch, objective: Objective) -> list[Float[Tensor, " units"]]:
    """Sum over the batch's rows of |dL(row)/dgate|, for each unit of each block; the model stays as it is."""
    was_training = bundle.model.training
    bundle.model.eval()
    rows = len(batch["labels"])
    with torch.enable_grad(), inputs_seen(unit_linears(bundle, pattern)) as seen:
        # The objective is the mean over rows, and a row's loss depends on its own gates alone.
        loss = objective(bundle.model, batch) * rows
        gradients = iter(torch.autograd.grad(loss, [inputs for calls in seen for inputs in calls]))
    bundle.model.train(was_training)
    counts = pattern.counts(bundle.sketch())
    _check_rows(seen, rows, bundle.family.model_type)
    return [gate_importance(calls, [next(gradients) for _ in calls], units=n).cpu() for calls, n in zip(seen, counts)]


def gate_importance(
    inputs: Sequence[Float[Tensor, "batch length width"]],
    gradients: Sequence[Float[Tensor, "batch length width"]],
    *,
    units: int,
) -> Float[Tensor, " units"]:
    """Sum over rows of |dL/dgate|; dL/dgate = sum of input times gradient over a unit's inputs, tokens and calls.

    Args:
        inputs: what the linear behind the units was given, at each of its calls.
        gradients: of the sum of the rows' losses, by these inputs.
        units: how many units share the width.
    """
    products = [(x.detach() * g).float().sum(1).unflatten(-1, (units, -1)).sum(-1) for x, g in zip(inputs, gradients)]
    return torch.stack(products).sum(0).abs().sum(0)


def _check_rows(seen: list[list[Tensor]], rows: int, model_type: str) -> None:
    if any(inputs.dim() != 3 or inputs.shape[0] != rows for calls in seen for inputs in calls):
        what = f"taylor needs the blocks of a {model_type} model to compute (rows, tokens, width), one row per example"
        raise Refusal(what, advice="choose the criterion 'magnitude'")
