"""Truncated singular value decomposition."""

from __future__ import annotations

from typing import ClassVar

from compress.core.model.bundle import Bundle
from compress.core.stage.context import Context
from compress.factorize.decomposition import Decomposition, Users, What
from compress.factorize.low_rank import Weighting

__all__ = ["Svd"]


class Svd(Decomposition):
    """The nearest matrix of that rank: |W - W'|^2 is the sum of the squared singular values that go.

    References:
        Eckart and Young 1936.
    """

    fits: ClassVar[frozenset[What]] = frozenset({"linears", "embeddings"})

    def weightings(self, bundle: Bundle, modules: Users, ctx: Context) -> dict[str, Weighting]:
        return dict.fromkeys(modules, Weighting())
