"""Rank by energy: as many singular values as hold a share of the sum of squares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from compress.core.model.linears import Place
from compress.factorize.rank import Rank

__all__ = ["Energy", "rank_for_energy"]

CLOSE = 1e-12


class Energy(Rank):
    """Rank by energy: the least r with sum of the first r s_i^2 >= energy times the sum of all s_i^2, for each matrix.

    The singular values are those of the weighted matrix: with `by: activations` it is the energy of the outputs.
    """

    from_shapes: ClassVar[bool] = False

    energy: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = Field(
        description="share of the sum of squared singular values that is kept"
    )

    def ranks(self, places: Sequence[Place], spectra: Sequence[Tensor]) -> tuple[int, ...]:
        return tuple(rank_for_energy(values, self.energy) for values in spectra)


def rank_for_energy(values: Float[Tensor, " k"], energy: float) -> int:
    """The least r with sum(values[:r]^2) >= energy * sum(values^2); one where all are zero.

    Args:
        values: singular values, descending.
        energy: between 0 and 1.

    Example:
        >>> import torch
        >>> rank_for_energy(torch.tensor([3.0, 1.0, 1.0, 1.0]), 0.8), rank_for_energy(torch.ones(4), 0.5)
        (2, 2)
    """
    squares = values.double().square()
    total = squares.sum()
    if not total > 0:
        return 1
    reached = squares.cumsum(0) / total
    return min(len(values), int((reached < energy - CLOSE).sum()) + 1)
