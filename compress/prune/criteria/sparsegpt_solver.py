"""Optimal brain surgery on one matrix, as SparseGPT does it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from compress.core.errors import StageFailed
from compress.prune.selection import kept_count, kept_mask

__all__ = ["Solver", "inverse_factor"]


@dataclass(frozen=True)
class Solver:
    """Cuts one matrix and lets the weights that stay make up for it.

    From left to right, a cut weight of column i leaves the error e = w_i / U_ii, and the columns after it lose e U_ij,
    where U is the upper factor of the inverse Hessian. Frantar and Alistarh 2023, arXiv 2301.00774, algorithm 1.

    Attributes:
        sparsity: share of the weights that is cut.
        group: (n, m) where n of every m neighbours stay.
        columns: inputs whose weights are chosen together (the paper's B and Bs).
        damping: as `inverse_factor`.
    """

    sparsity: float
    group: tuple[int, int] | None = None
    columns: int = 128
    damping: float = 0.01

    def __call__(
        self, weight: Float[Tensor, "out in"], inputs: Float[Tensor, "tokens in"], *, alive: Bool[Tensor, "out in"]
    ) -> tuple[Float[Tensor, "out in"], Bool[Tensor, "out in"]]:
        """The new weight and its mask; what is not `alive` is cut before all else."""
        factor, unseen = inverse_factor(inputs, self.damping)
        new, mask = weight.clone(), torch.zeros_like(alive)
        new[:, unseen] = 0
        step = self.columns if self.group is None else -(-self.columns // self.group[1]) * self.group[1]
        for start in range(0, weight.shape[1], step):
            end = min(start + step, weight.shape[1])
            errors = self._columns(new, mask, factor, alive, start, end)
            new[:, end:] -= errors @ factor[start:end, end:]
        return new * mask, mask

    def _columns(
        self, new: Tensor, mask: Tensor, factor: Tensor, alive: Tensor, start: int, end: int
    ) -> Float[Tensor, "out columns"]:
        """Solve the columns from `start` to `end` in place; the errors that those behind them must make up for."""
        errors = torch.zeros_like(new[:, start:end])
        if self.group is None:
            mask[:, start:end] = self._chosen(new, mask, factor, alive, start, end)
        for column in range(start, end):
            if self.group and column % self.group[1] == 0:
                stop = column + self.group[1]
                best = self._best(_scores(new, factor, alive, column, stop))
                mask[:, column:stop] = best & alive[:, column:stop]
            cut = new[:, column] * ~mask[:, column]
            errors[:, column - start] = cut / factor[column, column]
            new[:, column:end] -= errors[:, column - start, None] * factor[column, column:end]
            new[:, column] *= mask[:, column]
        return errors

    def _chosen(self, new: Tensor, mask: Tensor, factor: Tensor, alive: Tensor, start: int, end: int) -> Tensor:
        """The mask of these columns; the counts up to here are exact, whatever the width of a block.

        More stay here where the columns behind have too few alive for the matrix's count, so that this one is exact.
        """
        before = int(mask[:, :start].sum())
        count = kept_count(new.shape[0] * end, self.sparsity) - before
        least = kept_count(mask.numel(), self.sparsity) - before - int(alive[:, end:].sum())
        scores = _scores(new, factor, alive, start, end)
        wanted = min(max(count, least), scores.numel())
        return kept_mask(scores.flatten(), wanted).view_as(scores) & alive[:, start:end]

    def _best(self, scores: Tensor) -> Tensor:
        n = self.group[0] if self.group else 1
        best = torch.sort(scores, dim=1, descending=True, stable=True).indices[:, :n]
        return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, best, True)


def inverse_factor(
    inputs: Float[Tensor, "tokens in"], damping: float
) -> tuple[Float[Tensor, "in in"], Bool[Tensor, " in"]]:
    """(U, unseen): the upper factor with U^T U = (X^T X + d I)^-1, and which inputs are zero in all tokens.

    Args:
        inputs: of the linear, all tokens of the calibration.
        damping: d as a share of the mean of the diagonal.

    Raises:
        StageFailed: the matrix is not positive, damped as it is.
    """
    squared = inputs.double().T @ inputs.double()
    diagonal = squared.diagonal()
    unseen = diagonal == 0
    diagonal[unseen] = 1
    diagonal += damping * diagonal.mean()
    lower, wrong = torch.linalg.cholesky_ex(squared)
    if bool(wrong):
        raise StageFailed(
            "the inputs of a matrix do not determine its weights", given=damping, advice="choose a larger 'damping'"
        )
    inverse = torch.cholesky_inverse(lower)
    return torch.linalg.cholesky(inverse, upper=True).to(inputs.dtype), unseen


def _scores(new: Tensor, factor: Tensor, alive: Tensor, start: int, end: int) -> Float[Tensor, "out columns"]:
    """w^2 / U_ii^2; what was cut before is lower than all."""
    scores = (new[:, start:end] / factor.diagonal()[start:end]).square()
    return scores.masked_fill(~alive[:, start:end], -1)
