"""A decomposition that is not there yet."""

from __future__ import annotations

from typing import ClassVar

from compress.core.model.bundle import Bundle
from compress.core.stage.context import Context
from compress.factorize.decomposition import Decomposition, Users, What
from compress.factorize.decompositions.low_rank import Weighting


class Newcomer(Decomposition):
    """The nearest matrix of that rank, with every weight alike."""

    fits: ClassVar[frozenset[What]] = frozenset({"linears", "embeddings"})

    def weightings(self, bundle: Bundle, modules: Users, ctx: Context) -> dict[str, Weighting]:
        return {path: Weighting() for path in modules}
