"""Gradients of single rows, by every weight of the blocks' matrices."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from compress.core.bundle import Bundle
from compress.core.matrix import matrix
from compress.core.training import Batch, Objective
from compress.prune.matrices import Matrix

__all__ = ["totals_of_gradients"]

OfOne = Callable[[Float[Tensor, "out in"], Float[Tensor, "out in"]], Float[Tensor, "out in"]]


def totals_of_gradients(
    bundle: Bundle, matrices: Mapping[str, Matrix], batch: Batch, objective: Objective, of_one: OfOne
) -> list[Float[Tensor, "out in"]]:
    """For each matrix the sum over the batch's rows of `of_one(weight, dL(row)/dweight)`; the model stays as it is.

    Each row has a forward and a backward pass of its own, which takes several times as long as those of a batch.
    """
    weights = [part.linear.weight for part in matrices.values()]
    was_training = bundle.model.training
    bundle.model.eval()
    totals = [torch.zeros_like(part.weight) for part in matrices.values()]
    for row in range(len(batch["labels"])):
        one = {name: value[row : row + 1] for name, value in batch.items()}
        with torch.enable_grad():
            found = torch.autograd.grad(objective(bundle.model, one), weights)  # type: ignore[arg-type]
        for total, part, gradient in zip(totals, matrices.values(), found, strict=True):
            total += of_one(part.weight, matrix(part.linear, gradient))
    bundle.model.train(was_training)
    return totals
