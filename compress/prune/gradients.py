"""Gradients of single rows, by every weight of the blocks' matrices, out of one backward pass of their batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch
from compress.core.model.matrices import Matrix
from compress.core.training.fit import Objective
from compress.prune.units.gating import leaf

__all__ = ["totals_of_gradients"]

Size = Callable[[Float[Tensor, "out in"]], Float[Tensor, "out in"]]


def totals_of_gradients(
    bundle: Bundle, matrices: Mapping[str, Matrix], batch: Batch, objective: Objective, size: Size
) -> list[Float[Tensor, "out in"]]:
    """For each matrix the sum over the batch's rows of `size(dL(row)/dweight)`; the model stays as it is.

    What enters and what leaves a linear gives its gradient for each row: dL(row)/dW = sum over tokens of dL/dy x^T. So
    one forward and one backward pass do, as in a step of training, and a product for each row in place of the batch's.

    Args:
        bundle: whose model; without dropout meanwhile.
        matrices: by what the gradients are taken.
        batch: encoded rows.
        objective: the mean of the rows' losses, each of its own row alone.
        size: of one row's gradient, elementwise; may overwrite it.
    """
    was_training, rows = bundle.model.training, len(batch["labels"])
    bundle.model.eval()
    with torch.enable_grad(), _seen([part.linear for part in matrices.values()]) as seen:
        loss = objective(bundle.model, batch) * rows
        slopes = iter(torch.autograd.grad(loss, [output for each in seen for output in each.outputs]))
    bundle.model.train(was_training)
    found = []
    for part, each in zip(matrices.values(), seen, strict=True):
        total = torch.zeros_like(part.weight, memory_format=torch.contiguous_format)
        found.append(each.add_to(total, [next(slopes) for _ in each.outputs], rows, size))
    return found


@dataclass
class _Seen:
    """What a linear is given and gives in one forward pass; it may run repeatedly, as shared ones do."""

    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)

    def add_to(self, total: Tensor, slopes: list[Tensor], rows: int, size: Size) -> Tensor:
        """`total` plus the size of every row's gradient, which is a sum over the tokens of all calls."""
        if not slopes:
            return total
        entered = torch.cat([each.detach().reshape(rows, -1, each.shape[-1]) for each in self.inputs], 1)
        slope = torch.cat([each.reshape(rows, -1, each.shape[-1]) for each in slopes], 1)
        for x, g in zip(entered, slope):
            total += size(g.T @ x.to(g.dtype))
        return total


@contextmanager
def _seen(linears: list[nn.Module]) -> Iterator[list[_Seen]]:
    """Within it, inputs and outputs of the linears are collected, the outputs with gradients."""
    seen = [_Seen() for _ in linears]
    with ExitStack() as stack:
        for linear, each in zip(linears, seen):
            stack.callback(linear.register_forward_hook(_collecting(each)).remove)
        yield seen


def _collecting(seen: _Seen) -> Callable[..., Tensor]:
    keep = leaf(seen.outputs)

    def hook(_: nn.Module, arguments: tuple[Any, ...], outputs: Tensor) -> Tensor:
        seen.inputs.append(arguments[0])
        return keep(outputs)

    return hook
