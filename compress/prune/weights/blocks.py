"""Block sparsity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from pydantic import Field
from torch import Tensor

from compress.core.errors import InputError
from compress.core.model.masks import Masks
from compress.core.model.sketch import Sketch
from compress.core.values import Count
from compress.prune.selection import kept_count, kept_mask
from compress.prune.weights.pattern import Scores, WeightPattern, input_sizes, output_sizes
from compress.prune.weights.selection import keep_highest

__all__ = ["Blocks", "block_means", "spread_out"]


class Blocks(WeightPattern):
    """Block sparsity: rectangles of `rows` outputs by `columns` inputs; a block's score is the mean of its weights'.

    References:
        Lagunas et al. 2021, arXiv 2109.04838, section 3.
    """

    rows: Count = Field(description="outputs of a block")
    columns: Count = Field(description="inputs of a block")

    def unit(self) -> int:
        return self.rows * self.columns

    def refuses(self, sketch: Sketch) -> str | None:
        tall = sorted(size for size in output_sizes(sketch) if size % self.rows)
        wide = sorted(size for size in input_sizes(sketch) if size % self.columns)
        if tall or wide:
            size, side, block = (tall[0], "outputs", self.rows) if tall else (wide[0], "inputs", self.columns)
            return f"{size} {side} do not divide into blocks of {block}"
        return None

    def masks(
        self, scores: Scores, sparsity: float, *, within: Mapping[str, Tensor] | None = None, **settings: Any
    ) -> Masks:
        small = {name: block_means(score, self.rows, self.columns) for name, score in scores.items()}
        before = {name: self._alive(mask) for name, mask in (within or {}).items()}
        found = keep_highest(small, sparsity, within=before, **settings)
        return {name: spread_out(mask, self.rows, self.columns) for name, mask in found.items()}

    def mask_by_output(self, scores: Float[Tensor, "out in"], sparsity: float) -> Bool[Tensor, "out in"]:
        small = block_means(scores, self.rows, self.columns)
        count = kept_count(small.shape[1], sparsity)
        return spread_out(torch.stack([kept_mask(row, count) for row in small]), self.rows, self.columns)

    def left(self, mask: Bool[Tensor, "out in"]) -> int:
        return int(self._alive(mask).sum())

    def by_unit(self, scores: Float[Tensor, "out in"]) -> Float[Tensor, "out in"]:
        return spread_out(block_means(scores, self.rows, self.columns), self.rows, self.columns)

    def _alive(self, mask: Tensor) -> Tensor:
        return block_means(mask.float(), self.rows, self.columns) > 0


def block_means(scores: Float[Tensor, "out in"], rows: int, columns: int) -> Float[Tensor, "down across"]:
    """The mean score of each block.

    Args:
        scores: of one matrix, (out, in).
        rows: outputs of a block.
        columns: inputs of a block.

    Raises:
        InputError: the matrix does not divide into such blocks.
    """
    if scores.shape[0] % rows or scores.shape[1] % columns:
        raise InputError(f"a matrix of {tuple(scores.shape)} does not divide into blocks of {rows} by {columns}")
    return scores.float().unflatten(1, (-1, columns)).unflatten(0, (-1, rows)).mean((1, 3))


def spread_out(mask: Shaped[Tensor, "down across"], rows: int, columns: int) -> Shaped[Tensor, "out in"]:
    """The mask (or scores) of the weights, from one of their blocks.

    Args:
        mask: a value for each block.
        rows: outputs of a block.
        columns: inputs of a block.
    """
    return mask.repeat_interleave(rows, 0).repeat_interleave(columns, 1)
