"""Semi-structured n:m sparsity."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from pydantic import Field, model_validator
from torch import Tensor

from compress.core.errors import InputError
from compress.core.model.masks import Masks
from compress.core.model.sketch import Sketch
from compress.core.values import Count
from compress.prune.weights.pattern import Scores, WeightPattern, input_sizes

__all__ = ["NM", "best_n_of_m"]


class NM(WeightPattern):
    """n:m sparsity: n of every m neighbouring inputs of an output stay; 2:4 is what NVIDIA's sparse kernels take.

    References:
        Mishra et al. 2021, arXiv 2104.08378; Zhou et al. 2021, arXiv 2102.04010.
    """

    name: ClassVar[str] = "n_m"

    n: Count = Field(2, description="how many stay")
    m: Count = Field(4, description="of so many neighbours")

    @model_validator(mode="after")
    def _some_go(self) -> NM:
        if self.n >= self.m:
            raise ValueError(f"n is less than m, so that something is cut; {self.n} of {self.m} is not")
        return self

    def own_sparsity(self) -> float:
        return round(1 - self.n / self.m, 6)

    def n_of_m(self) -> tuple[int, int]:
        return self.n, self.m

    def towards(self, sparsity: float) -> NM | None:
        """As many of m as the sparsity leaves, to the next whole number, and n at least."""
        n = max(self.n, ceil(round(self.m * (1 - sparsity), 6)))
        return NM(n=n, m=self.m) if n < self.m else None

    def refuses(self, sketch: Sketch) -> str | None:
        odd = sorted(size for size in input_sizes(sketch) if size % self.m)
        return f"the rows of {odd[0]} weights do not divide into groups of {self.m}" if odd else None

    def masks(self, scores: Scores, sparsity: float, *, within: Mapping[str, Tensor] | None = None, **_: Any) -> Masks:
        return {
            name: best_n_of_m(_below(score, (within or {}).get(name)), self.n, self.m) for name, score in scores.items()
        }

    def mask_by_output(self, scores: Float[Tensor, "out in"], sparsity: float) -> Bool[Tensor, "out in"]:
        return best_n_of_m(scores, self.n, self.m)


def best_n_of_m(scores: Float[Tensor, "out in"], n: int, m: int) -> Bool[Tensor, "out in"]:
    """True for the n highest of every m neighbours in a row; of equals the first.

    Args:
        scores: of one matrix, (out, in).
        n: how many stay.
        m: of so many neighbours in a row.

    Raises:
        InputError: the rows do not divide into groups of m.
    """
    if scores.shape[1] % m:
        raise InputError(f"rows of {scores.shape[1]} weights do not divide into groups of {m}", given=(n, m))
    groups = scores.unflatten(1, (-1, m))
    best = torch.sort(groups, dim=2, descending=True, stable=True).indices[..., :n]
    return torch.zeros_like(groups, dtype=torch.bool).scatter_(2, best, True).flatten(1)


def _below(score: Tensor, before: Tensor | None) -> Tensor:
    return score if before is None else score.masked_fill(~before.to(score.device), -torch.inf)
