"""What the gates say of each unit, summed up over rows of *train*."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from compress.core.bundle import Bundle
from compress.core.context import Context
from compress.core.errors import InputError
from compress.prune.gates import gate_slopes
from compress.prune.pattern import Pattern

__all__ = ["mean_over_rows"]


def mean_over_rows(
    bundle: Bundle,
    pattern: Pattern,
    ctx: Context,
    total: Callable[[Float[Tensor, "batch units"]], Float[Tensor, " units"]],
    *,
    batches: int,
    batch_size: int,
    name: str,
) -> list[Float[Tensor, " units"]]:
    """For each group of units, `total` of the slopes of its gates, added over the batches and divided by the rows.

    Args:
        total: of dL(row)/dgate for the rows of a batch, one number for each unit.
        batches: of train, drawn by the seed.
        batch_size: rows of a batch.
        name: of the criterion, for the progress bar.

    Raises:
        InputError: there is no row.
    """
    from tqdm.auto import tqdm

    drawn = ctx.batches(bundle, part="train", count=batches, batch_size=batch_size)
    progress = tqdm(drawn, total=batches, desc=name, unit=" batches", disable=None, leave=False)
    sums = [torch.zeros(count) for count in pattern.counts(bundle.sketch())]
    rows = 0
    for batch in progress:
        slopes = gate_slopes(bundle, pattern, batch, ctx.task_objective())
        sums = [before + total(slope) for before, slope in zip(sums, slopes)]
        rows += len(batch["labels"])
    if not rows:
        raise InputError(f"{name} needs rows of train, and there are none")
    return [each / rows for each in sums]
