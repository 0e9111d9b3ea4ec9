"""Gradients of single rows, by every weight of the blocks' matrices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from compress.core.bundle import Bundle
from compress.core.context import Context
from compress.core.errors import InputError
from compress.core.matrix import matrix
from compress.prune.matrices import Matrix

__all__ = ["mean_over_rows", "row_gradients"]


def row_gradients(
    bundle: Bundle, matrices: Mapping[str, Matrix], ctx: Context, *, batches: int, batch_size: int, word: str
) -> Iterator[dict[str, Tensor]]:
    """For each drawn row of *train*: name -> (out, in) of the gradient of its loss. The model stays as it is."""
    from tqdm.auto import tqdm

    weights = [part.linear.weight for part in matrices.values()]
    drawn = ctx.batches(bundle, part="train", count=batches, batch_size=batch_size)
    was_training = bundle.model.training
    bundle.model.eval()
    for batch in tqdm(drawn, total=batches, desc=word, unit=" batches", disable=None, leave=False):
        for row in range(len(batch["labels"])):
            one = {name: value[row : row + 1] for name, value in batch.items()}
            with torch.enable_grad():
                loss = ctx.task_objective()(bundle.model, one)
                found = torch.autograd.grad(loss, weights)  # type: ignore[arg-type]
            yield {name: matrix(part.linear, g) for g, (name, part) in zip(found, matrices.items(), strict=True)}
    bundle.model.train(was_training)


@torch.no_grad()
def mean_over_rows(
    rows: Iterator[dict[str, Tensor]], of: Callable[[str, Tensor], Tensor], *, word: str
) -> dict[str, Tensor]:
    """Mean over the rows of what `of(name, gradient)` makes of each gradient.

    Raises:
        InputError: there is no row.
    """
    count, total = 0, dict[str, Tensor]()
    for gradients in rows:
        count += 1
        for name, gradient in gradients.items():
            value = of(name, gradient)
            total[name] = value if count == 1 else total[name].add_(value)
    if not count:
        raise InputError(f"{word} needs rows of train, and there are none")
    return {name: value / count for name, value in total.items()}
