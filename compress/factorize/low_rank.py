"""The best factors of a matrix at every rank: plain, for the inputs that it meets, or with weighted rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from compress.core.errors import StageFailed

__all__ = ["OVERFLOW", "Factors", "Weighting", "check_finite", "decompose", "output_error", "second_moment_root"]

TALL = 8
"""From so many times more rows than columns the columns' Gram matrix is decomposed, in pieces of `ROWS` rows."""
ROWS = 65_536
JITTER = 1e-8
"""Of the mean second moment, added to each input's own: what the inputs never reach stays determined by the weight."""

OVERFLOW = "the model's answers overflow on train: look at its metric before this stage, or take `by: svd`"


@dataclass(frozen=True)
class Weighting:
    """What the error of a matrix (out, in) is weighed with; at most one of both is given.

    Attributes:
        inputs: the second moment (in, in) of its inputs: the error is that of its outputs.
        rows: a factor for each of its rows: the error of a row counts that much.
    """

    inputs: Float[Tensor, "in in"] | None = None
    rows: Float[Tensor, " out"] | None = None


@dataclass(frozen=True)
class Factors:
    """A matrix as a sum of outer products, the most important first.

    Attributes:
        values: the singular values of the weighted matrix, descending. The best approximation of rank r has the squared
            weighted error sum of values[r:]^2 (Eckart and Young 1936).
        left, right: left[:, :r] @ right[:r] is that approximation, in the type and on the device of the matrix.
    """

    values: Float[Tensor, " k"]
    left: Float[Tensor, "out most"]
    right: Float[Tensor, "most in"]

    def shortened(self, rank: int) -> Factors:
        """The same, able to give factors up to this rank only, in less memory."""
        return replace(self, left=self.left[:, :rank].clone(), right=self.right[:rank].clone())

    def of_rank(self, rank: int) -> tuple[Float[Tensor, "out rank"], Float[Tensor, "rank in"]]:
        """Both factors; each column of the first is as long as its row of the second."""
        left, right = self.left[:, :rank].double(), self.right[:rank].double()
        lengths = left.norm(dim=0), right.norm(dim=1)
        scale = torch.where((lengths[0] > 0) & (lengths[1] > 0), (lengths[1] / lengths[0]).sqrt(), 1.0)
        dtype = self.left.dtype
        return (left * scale).to(dtype).contiguous(), (right / scale[:, None]).to(dtype).contiguous()


def decompose(matrix: Float[Tensor, "out in"], weighting: Weighting = Weighting()) -> Factors:
    """The factors of `matrix` whose weighted error is the least at every rank; the work is done in float64.

    With the inputs' second moment C = L L^T: M L = U S V^T, and U_r U_r^T M has the least mean squared error of the
    outputs, tr((M - M') C (M - M')^T). With weighted rows: D M = U S V^T, and M V_r V_r^T has the least
    |D (M - M')|. Both are projections, so that nothing is inverted, and rows or inputs of no weight do no harm.

    Raises:
        StageFailed: a weight, or what the error is weighed with, is not finite.

    References:
        Chen et al. 2021 (DRONE), section 3; Wang et al. 2024 (SVD-LLM), arXiv 2403.07378, section 3.1; Hsu et al. 2022
        (FWSVD), arXiv 2207.00112, section 3.
    """
    check_finite(matrix, what="its weights", advice="the model is damaged: start from another checkpoint or stage")
    if weighting.inputs is not None:
        exact = matrix.double()
        left, values, _ = torch.linalg.svd(exact @ second_moment_root(weighting.inputs), full_matrices=False)
        return Factors(values, left.to(matrix.dtype), (left.T @ exact).to(matrix.dtype))
    values, directions = _right_directions(matrix, weighting.rows)
    left = torch.cat([piece.double() @ directions for piece in matrix.split(ROWS)])
    return Factors(values, left.to(matrix.dtype), directions.T.to(matrix.dtype))


def second_moment_root(moment: Float[Tensor, "in in"]) -> Float[Tensor, "in in"]:
    """The lower triangle L with L L^T = moment, in float64, by Cholesky.

    The diagonal is raised by as little as the factorization needs, from 1e-8 of its mean. A moment of zero gives the
    identity: inputs that were never seen leave the plain error.

    Raises:
        StageFailed: a moment is not finite.
    """
    check_finite(moment, what="the second moments of its inputs", advice=OVERFLOW)
    exact = moment.double()
    identity = torch.eye(len(exact), dtype=exact.dtype, device=exact.device)
    mean = exact.diagonal().mean()
    if not mean > 0:
        return identity
    share = JITTER
    while True:
        root, failed = torch.linalg.cholesky_ex(exact + share * mean * identity)
        if not failed:
            return root
        share *= 10


def check_finite(values: Tensor, *, what: str, advice: str) -> None:
    """Raise `StageFailed` where one of `values` is not finite: no factors are the best then."""
    wrong = int((~values.isfinite()).sum())
    if wrong:
        raise StageFailed(f"{what} are not finite, {wrong} of {values.numel()}", advice=advice)


def output_error(difference: Float[Tensor, "out in"], moment: Float[Tensor, "in in"]) -> Float[Tensor, ""]:
    """tr(D C D^T): the mean squared length of what a difference D of weights makes of the inputs of second moment C."""
    exact = difference.double()
    return ((exact @ moment.double()) * exact).sum()


def _right_directions(
    matrix: Float[Tensor, "out in"], rows: Float[Tensor, " out"] | None
) -> tuple[Float[Tensor, " k"], Float[Tensor, "in k"]]:
    """Singular values and right singular vectors of the matrix with weighted rows."""
    scale = torch.ones(len(matrix), device=matrix.device) if rows is None else rows
    if len(matrix) <= TALL * matrix.shape[1]:
        _, values, transposed = torch.linalg.svd(matrix.double() * scale.double()[:, None], full_matrices=False)
        return values, transposed.T
    gram = torch.zeros(matrix.shape[1], matrix.shape[1], dtype=torch.float64, device=matrix.device)
    for piece, weights in zip(matrix.split(ROWS), scale.split(ROWS)):
        weighted = piece.double() * weights.double()[:, None]
        gram += weighted.T @ weighted
    squares, directions = torch.linalg.eigh(gram)
    return squares.flip(0).clamp(min=0).sqrt(), directions.flip(1)
