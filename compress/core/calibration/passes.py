"""Calibration: batches of *train*, sums over their rows, and matrices solved on the inputs that they give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Protocol

import torch
from torch import Tensor

from compress.core.calibration.recording import before, token_rows
from compress.core.errors import InputError
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch, forward, padding_mask
from compress.core.model.matrices import Matrix

__all__ = ["drawn", "drawn_batches", "mean_over_rows", "solved_in_passing"]

Solve = Callable[[str, Tensor, Tensor], Tensor]


class HasBatches(Protocol):
    """What gives encoded batches of a part of the data: a stage's context."""

    @property
    def batches(self) -> Callable[..., Iterator[Batch]]: ...


def drawn(bundle: Bundle, ctx: HasBatches, rows: int, *, word: str) -> Batch:
    """So many rows of *train* in one batch, drawn by the seed.

    Raises:
        InputError: there are none.
    """
    return next(drawn_batches(bundle, ctx, batches=1, batch_size=rows, word=word))


def drawn_batches(bundle: Bundle, ctx: HasBatches, *, batches: int, batch_size: int, word: str) -> Iterator[Batch]:
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
    ctx: HasBatches,
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


@torch.no_grad()
def solved_in_passing(bundle: Bundle, matrices: Mapping[str, Matrix], batch: Batch, solve: Solve) -> None:
    """Call `solve(name, weight, inputs)` for each matrix as the batch comes to it; the model is left as it was.

    The batch goes on with the (out, in) that `solve` gives in place of the weight, so the time grows with the number of
    matrices and no input is computed twice. A linear that runs repeatedly is solved where it runs first.

    Args:
        bundle: whose model; in evaluation mode meanwhile.
        matrices: what to solve.
        batch: all rows of the calibration at once.
        solve: is given the weight (out, in) and what enters it (tokens, in), without the padding.
    """
    real = padding_mask(batch)
    with _restored(matrices), ExitStack() as stack:
        for name, part in matrices.items():
            stack.enter_context(before(part.linear, _solving(name, part, solve, real)))
        forward(bundle, batch)


def _solving(name: str, part: Matrix, solve: Solve, real: Tensor | None) -> Callable[[Tensor], Tensor]:
    solved: list[str] = []

    def at_first_call(inputs: Tensor) -> Tensor:
        if not solved:
            solved.append(name)
            tokens = token_rows(inputs.detach(), real).float()
            part.weight.copy_(solve(name, part.weight.float().clone(), tokens))
        return inputs

    return at_first_call


@contextmanager
def _restored(matrices: Mapping[str, Matrix]) -> Iterator[None]:
    before = {name: part.weight.clone() for name, part in matrices.items()}
    try:
        yield
    finally:
        for name, part in matrices.items():
            part.weight.copy_(before[name])
