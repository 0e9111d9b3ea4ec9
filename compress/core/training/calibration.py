"""Sums over rows of *train*, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor

from compress.core.errors import InputError
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch
from compress.core.stage.context import Context

__all__ = ["drawn", "drawn_batches", "mean_over_rows"]


def drawn(bundle: Bundle, ctx: Context, rows: int, *, word: str) -> Batch:
    """So many rows of *train* in one batch, drawn by the seed.

    Raises:
        InputError: there are none.
    """
    return next(drawn_batches(bundle, ctx, batches=1, batch_size=rows, word=word))


def drawn_batches(bundle: Bundle, ctx: Context, *, batches: int, batch_size: int, word: str) -> Iterator[Batch]:
    """Batches of *train*, drawn by the seed, with a progress bar that says `word`.

    Raises:
        InputError: there is none.
    """
    from tqdm.auto import tqdm

    found = ctx.batches(bundle, part="train", count=batches, batch_size=batch_size)
    empty = True
    for batch in tqdm(found, total=batches, desc=word, unit=" batches", disable=None, leave=False):
        empty = False
        yield batch
    if empty:
        raise InputError(f"{word} needs rows of train, and there are none")


def mean_over_rows(
    bundle: Bundle,
    ctx: Context,
    totals: Callable[[Batch], list[Tensor]],
    *,
    batches: int,
    batch_size: int,
    word: str,
) -> list[Tensor]:
    """Each of `totals(batch)`, sums over the batch's rows, added over the batches and divided by the rows.

    Raises:
        InputError: there is no row.
    """
    sums, rows = list[Tensor](), 0
    for batch in drawn_batches(bundle, ctx, batches=batches, batch_size=batch_size, word=word):
        found = totals(batch)
        sums = [before + more for before, more in zip(sums, found, strict=True)] if rows else found
        rows += len(batch["labels"])
    return [each / rows for each in sums]
