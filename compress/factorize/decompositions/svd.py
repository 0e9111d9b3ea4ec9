"""Truncated singular value decomposition."""

from __future__ import annotations

from typing import ClassVar

from compress.core.model.bundle import Bundle
from compress.core.stage.context import Context
from compress.factorize.decomposition import Decomposition, Users, What
from compress.factorize.decompositions.low_rank import Weighting

__all__ = ["Svd"]


class Svd(Decomposition):
    """Truncated singular value decomposition: the nearest matrix of that rank in the Frobenius norm; no data.

    W = U S V^T is truncated to its r largest singular values; |W - W_r|^2 is the sum of the squares of the others.

    References:
        Eckart and Young 1936.
    """

    fits: ClassVar[frozenset[What]] = frozenset({"linears", "embeddings"})

    def weightings(self, bundle: Bundle, modules: Users, ctx: Context) -> dict[str, Weighting]:
        return dict.fromkeys(modules, Weighting())
