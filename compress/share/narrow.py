"""Joint factorization of embeddings in front of a LayerNorm, for an architecture that norms before it projects."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["centred_spectrum", "narrow_tables", "zero_mean_basis"]

ROWS = 16_384
"""Rows of an embedding matrix that are held in float64 at once."""


def narrow_tables(
    tables: Sequence[Tensor], gain: Float[Tensor, " wide"], *, width: int
) -> tuple[list[Tensor], Float[Tensor, "wide width"]]:
    """Embedding matrices of `width` columns, and the weight of the projection behind their LayerNorm.

    With N(x) = (x - mean x) / sqrt(var x + eps) at either width, and x_r the centred sum of rows of `tables`, projected
    onto the joint leading r = width - 1 right singular vectors V of all centred tables,

        weight N(narrow sum) = gain N(x_r),    narrow = sqrt(width / wide) x_c V Q^T,
        weight = sqrt(wide / width) diag(gain) V Q^T,

    where the columns of Q span the zero-mean subspace of R^width, so that centring removes nothing more, and the factor
    on the tables makes the two variances equal, so that eps means the same in both.

    Args:
        tables: embedding matrices (rows, wide) of tokens, positions and segments, whose rows are summed.
        gain: the weight of the LayerNorm behind the sum.
        width: columns of the new tables, from 2 to wide.

    Returns:
        The tables in their own type, and the weight in float64. The old norm's bias is the projection's.
    """
    wide = gain.shape[0]
    _, vectors = centred_spectrum(tables)
    turned = vectors[:, : width - 1] @ zero_mean_basis(width).to(vectors).T
    scale = (width / wide) ** 0.5
    # The rows of V are orthogonal to the mean but for rounding; centring the few columns here keeps it so.
    reduce = scale * (turned - turned.mean(0))
    narrow = [torch.cat([(part.double() @ reduce).to(part.dtype) for part in table.split(ROWS)]) for table in tables]
    return narrow, gain.double()[:, None] * turned / scale


def centred_spectrum(tables: Sequence[Tensor]) -> tuple[Float[Tensor, " wide"], Float[Tensor, "wide wide"]]:
    """Singular values, largest first, and right singular vectors (columns) of all centred rows of `tables` together.

    They are taken from the sum of x^T x in float64, which needs no more memory than a square of the width.
    """
    wide = tables[0].shape[1]
    gram = torch.zeros(wide, wide, dtype=torch.float64, device=tables[0].device)
    for part in (part for table in tables for part in table.detach().split(ROWS)):
        rows = part.double()
        rows = rows - rows.mean(1, keepdim=True)
        gram += rows.T @ rows
    values, vectors = torch.linalg.eigh(gram)
    return values.clamp(min=0).sqrt().flip(0), vectors.flip(1)


def zero_mean_basis(width: int) -> Float[Tensor, "width less"]:
    """Orthonormal columns that span the vectors of R^width whose mean is zero (Helmert's), in float64.

    >>> basis = zero_mean_basis(3)
    >>> bool((basis.sum(0).abs() < 1e-12).all()), bool(torch.allclose(basis.T @ basis, torch.eye(2).double()))
    (True, True)
    """
    columns = torch.arange(1, width, dtype=torch.float64)
    rows = torch.arange(width)[:, None]
    basis = (rows < columns).double() - columns * (rows == columns)
    return basis / (columns * (columns + 1)).sqrt()
