"""Per-example gradients, from one backward pass of a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from compress.core.calibration.recording import Calls, recorded_calls
from compress.core.errors import Refusal
from compress.core.fit.protocol import Objective
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch, evaluating
from compress.core.model.matrices import Matrix

__all__ = ["check_rows", "example_gradients", "sums_over_examples"]

Size = Callable[[Float[Tensor, "out in"]], Float[Tensor, "out in"]]


def example_gradients(
    bundle: Bundle, batch: Batch, objective: Objective, recorded: Sequence[list[Tensor]]
) -> list[list[Float[Tensor, "batch ..."]]]:
    """Per-example gradients by recorded activations, without dropout; the model stays as it is.

    The objective is the mean over rows, and a row's loss depends on its own activations alone: so the gradient of the
    rows' sum is, row by row, that of each row's own loss.

    Args:
        bundle: its model runs forward and backward once.
        batch: encoded rows.
        objective: the mean of the rows' losses.
        recorded: lists that hooks fill with activations (batch, ...) during the forward pass.
    """
    with evaluating(bundle.model), torch.enable_grad():
        loss = objective(bundle.model, batch) * len(batch["labels"])
        gradients = iter(torch.autograd.grad(loss, [activation for calls in recorded for activation in calls]))
    return [[next(gradients) for _ in calls] for calls in recorded]


def sums_over_examples(
    bundle: Bundle, matrices: Mapping[str, Matrix], batch: Batch, objective: Objective, size: Size
) -> list[Float[Tensor, "out in"]]:
    """Sums over examples of a function of the per-example gradient of each weight matrix; the model stays as it is.

    For each row dL(row)/dW = sum over tokens of dL/dy x^T, with the recorded inputs x and gradients of the outputs y.
    So one forward and one backward pass suffice, with one product for each row in place of the batch's.

    Args:
        bundle: its model runs without dropout.
        matrices: name -> weight matrix.
        batch: encoded rows.
        objective: the mean of the rows' losses, each of its own row alone.
        size: elementwise function of one row's gradient (its square, its magnitude); may overwrite it.
    """
    with recorded_calls([part.linear] for part in matrices.values()) as seen:
        gradients = example_gradients(bundle, batch, objective, [calls.outputs for calls in seen])
    rows, found = len(batch["labels"]), []
    for part, calls, slopes in zip(matrices.values(), seen, gradients, strict=True):
        total = torch.zeros_like(part.weight, memory_format=torch.contiguous_format)
        found.append(_added(total, calls, slopes, rows=rows, size=size) if slopes else total)
    return found


def _added(total: Tensor, calls: Calls, slopes: list[Tensor], *, rows: int, size: Size) -> Tensor:
    """`total` plus `size` of every row's gradient, which is a sum over the tokens of all calls."""
    entered = torch.cat([each.reshape(rows, -1, each.shape[-1]) for each in calls.inputs], 1)
    slope = torch.cat([each.reshape(rows, -1, each.shape[-1]) for each in slopes], 1)
    for x, g in zip(entered, slope):
        total += size(g.T @ x.to(g.dtype))
    return total


def check_rows(recorded: Sequence[Sequence[Tensor]], batch: Batch, *, bundle: Bundle, who: str, advice: str) -> None:
    """Raise `Refusal` where activations are not (rows, tokens, width), one row for each example.

    Args:
        recorded: the activations.
        batch: the rows that they belong to.
        bundle: the model that computed them.
        who: what needs them so, with its verb ("fisher needs").
        advice: what to do instead.
    """
    rows = len(batch["labels"])
    if any(each.dim() != 3 or each.shape[0] != rows for calls in recorded for each in calls):
        kind = bundle.family.model_type
        what = f"{who} the blocks of a {kind} model to compute (rows, tokens, width), one row per example"
        raise Refusal(what, advice=advice)
