"""The rows that a criterion looks at."""

from __future__ import annotations

from compress.core.bundle import Bundle
from compress.core.context import Context
from compress.core.errors import InputError
from compress.core.training import Batch

__all__ = ["drawn"]


def drawn(bundle: Bundle, ctx: Context, rows: int, *, word: str) -> Batch:
    """So many rows of *train* in one batch, drawn by the seed.

    Raises:
        InputError: there are none.
    """
    batch = next(iter(ctx.batches(bundle, part="train", count=1, batch_size=rows)), None)
    if batch is None:
        raise InputError(f"{word} needs rows of train, and there are none")
    return batch
