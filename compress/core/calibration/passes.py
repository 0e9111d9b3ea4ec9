"""Calibration: batches of *train*, means over their rows, and layer-wise reconstruction of weights on their inputs."""

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
    """Source of encoded batches of a part of the data: a stage's context."""

    @property
    def batches(self) -> Callable[..., Iterator[Batch]]: ...


def drawn(bundle: Bundle, ctx: HasBatches, rows: int, *, word: str) -> Batch:
    """One calibration batch of *train*, drawn by the seed.

    Args:
        bundle: the model that it is encoded for.
        ctx: gives the batches.
        rows: of the batch.
        word: what needs them, for the progress bar and the error.

    Raises:
        InputError: there are none.
    """
    return next(drawn_batches(bundle, ctx, batches=1, batch_size=rows, word=word))


def drawn_batches(bundle: Bundle, ctx: HasBatches, *, batches: int, batch_size: int, word: str) -> Iterator[Batch]:
    """Calibration batches of *train*, drawn by the seed, with a progress bar.

    Args:
        bundle: the model that they are encoded for.
        ctx: gives the batches.
        batches: number of batches.
        batch_size: rows of a batch.
        word: what needs them, for the progress bar and the error.

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
    """Means over calibration rows: each of `totals(batch)`, added over the batches and divided by the rows.

    Args:
        bundle: the model that the batches are encoded for.
        ctx: gives the batches.
        totals: batch -> tensors that are sums over its rows.
        batches: number of batches.
        batch_size: rows of a batch.
        word: what needs them, for the progress bar and the error.

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
    """Layer-wise reconstruction in one forward pass: `solve(name, weight, inputs)` for each matrix; the model stays.

    The forward pass continues with the (out, in) that `solve` returns in place of the weight, so that later layers get
    the inputs of the compressed model, and no input is computed twice. A linear that runs repeatedly is solved at its
    first call.

    Args:
        bundle: its model runs in evaluation mode.
        matrices: name -> matrix to solve.
        batch: all calibration rows at once.
        solve: given the weight (out, in) and its inputs (tokens, in), without padding.
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
