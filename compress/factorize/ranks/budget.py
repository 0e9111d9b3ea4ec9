"""Global rank allocation: a budget of parameters over all matrices, by the energy that they keep."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from compress.core.model.linears import Place
from compress.factorize.rank import Rank, cost

__all__ = ["Budget", "spread_budget"]


class Budget(Rank):
    """Global rank allocation: ranks that differ by matrix, and together keep the most energy within a parameter budget.

    The energy of a matrix (the sum of its squared singular values) is normalised to one, so that small weights are no
    disadvantage. Singular values are kept greedily, by s_i^2 / sum s^2 per parameter, out + in. A matrix whose factors
    would be larger than itself stays dense, if the budget has room.
    """

    from_shapes: ClassVar[bool] = False

    parameters: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        description="budget: below 1 a share of the matrices' parameters, else their number; biases are not counted"
    )

    def total(self, places: Sequence[Place]) -> int:
        """The budget as a number of parameters."""
        whole = sum(place.size for place in places)
        return int(Fraction(str(self.parameters)) * (whole if self.parameters < 1 else 1))

    def most(self, places: Sequence[Place]) -> int:
        return self.total(places)

    def refuses(self, places: Sequence[Place]) -> str | None:
        whole, least = sum(p.size for p in places), sum(cost(p, 1) for p in places)
        total = self.total(places)
        if total < least:
            return f"{total:,} parameters are too few: at rank 1 the {len(places)} matrices have {least:,}"
        if total >= whole:
            return f"{total:,} parameters are no less than the {whole:,} that the {len(places)} matrices have"
        return None

    def ranks(self, places: Sequence[Place], spectra: Sequence[Tensor]) -> tuple[int, ...]:
        return spread_budget([place.shape for place in places], spectra, self.total(places))


def spread_budget(
    shapes: Sequence[tuple[int, int]], spectra: Sequence[Float[Tensor, " _"]], total: int
) -> tuple[int, ...]:
    """The rank of each matrix, at least one, within a budget of `total` parameters; the full rank means dense.

    Args:
        shapes: (out, in) of each.
        spectra: its singular values, descending.
        total: parameters of all together, at least those of rank one.
    """
    costs = [sum(shape) for shape in shapes]
    most = [max(1, (out * ins - 1) // (out + ins)) for out, ins in shapes]
    energies = [_shares(values) for values in spectra]
    gains = [(energies[i][r] / costs[i], -r, -i) for i in range(len(shapes)) for r in range(1, most[i])]
    ranks, left = [1] * len(shapes), total - sum(costs)
    for _, _, index in sorted(gains, reverse=True):
        if costs[-index] <= left:
            ranks[-index] += 1
            left -= costs[-index]
    return _dense_where_cheap(shapes, energies, ranks, most, left)


def _shares(values: Float[Tensor, " k"]) -> list[float]:
    squares = values.double().square()
    return (squares / squares.sum().clamp(min=torch.finfo(torch.float64).tiny)).tolist()


def _dense_where_cheap(
    shapes: Sequence[tuple[int, int]], energies: list[list[float]], ranks: list[int], most: list[int], left: int
) -> tuple[int, ...]:
    """Spend the rest of the budget on dense matrices, of those at the largest rank that saves; most energy first."""
    full = [index for index in range(len(shapes)) if ranks[index] == most[index]]
    for index in sorted(full, key=lambda index: -sum(energies[index][ranks[index] :])):
        missing = shapes[index][0] * shapes[index][1] - ranks[index] * sum(shapes[index])
        if missing <= left:
            ranks[index], left = min(shapes[index]), left - missing
    return tuple(ranks)
