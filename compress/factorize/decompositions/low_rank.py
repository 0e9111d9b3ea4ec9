"""Low-rank approximation of a matrix at every rank: by SVD, plain, of the outputs, or with weighted rows."""

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
"""Ridge, as a share of the mean second moment: in directions without inputs the plain error of the weight decides."""

OVERFLOW = "the model's answers overflow on train: look at its metric before this stage, or take `by: svd`"


@dataclass(frozen=True)
class Weighting:
    """Weighting of the squared error of a matrix (out, in); at most one of the two is given.

    Attributes:
        inputs: the second moment E[x x^T] of its inputs: the error is that of its outputs.
        rows: a factor for each of its rows, by which the row's error is multiplied before it is squared.
    """

    inputs: Float[Tensor, "in in"] | None = None
    rows: Float[Tensor, " out"] | None = None


@dataclass(frozen=True)
class Factors:
    """A matrix as a sum of outer products, by descending singular value.

    Attributes:
        values: the singular values of the weighted matrix, descending. The best approximation of rank r has the squared
            weighted error sum of values[r:]^2 (Eckart and Young 1936).
        left, right: left[:, :r] @ right[:r] is that approximation, in the type and on the device of the matrix.
    """

    values: Float[Tensor, " k"]
    left: Float[Tensor, "out most"]
    right: Float[Tensor, "most in"]

    def shortened(self, rank: int) -> Factors:
        """The same, truncated to this rank, in less memory."""
        return replace(self, left=self.left[:, :rank].clone(), right=self.right[:rank].clone())

    def of_rank(self, rank: int) -> tuple[Float[Tensor, "out rank"], Float[Tensor, "rank in"]]:
        """Both factors at a rank, balanced: each column of the first has the norm of its row of the second."""
        left, right = self.left[:, :rank].double(), self.right[:rank].double()
        lengths = left.norm(dim=0), right.norm(dim=1)
        scale = torch.where((lengths[0] > 0) & (lengths[1] > 0), (lengths[1] / lengths[0]).sqrt(), 1.0)
        dtype = self.left.dtype
        return (left * scale).to(dtype).contiguous(), (right / scale[:, None]).to(dtype).contiguous()


def decompose(matrix: Float[Tensor, "out in"], weighting: Weighting = Weighting()) -> Factors:
    """The factors of `matrix` whose weighted error is the least at every rank; computed in float64.

    With the inputs' second moment C = L L^T: M L = U S V^T, and U_r U_r^T M has the least mean squared error of the
    outputs, tr((M - M') C (M - M')^T). With weighted rows: D M = U S V^T, and M V_r V_r^T has the least
    |D (M - M')|. Both are projections, so that nothing is inverted, and rows or inputs of zero weight do no harm.

    Args:
        matrix: any floating type.
        weighting: of the error; plain SVD unless given.

    Raises:
        StageFailed: a weight, or the weighting, is not finite.

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
    """Cholesky factor of a second moment: the lower triangle L with L L^T = moment, in float64.

    The diagonal is raised by as little as the factorization needs, from 1e-8 of its mean. A moment of zero gives the
    identity: without inputs the plain error is minimised.

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
    """Raise `StageFailed` where one of `values` is not finite: no factors are the best then.

    Args:
        values: weights or statistics.
        what: their name, at the beginning of the sentence.
        advice: what to do.
    """
    wrong = int((~values.isfinite()).sum())
    if wrong:
        raise StageFailed(f"{what} are not finite, {wrong} of {values.numel()}", advice=advice)


def output_error(difference: Float[Tensor, "out in"], moment: Float[Tensor, "in in"]) -> Float[Tensor, ""]:
    """Output error tr(D C D^T): the mean of |D x|^2 over inputs x of second moment C, in float64.

    Args:
        difference: D, of two weights.
        moment: C = E[x x^T].
    """
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
