"""States of a model in which nothing can be cut out of it."""

from __future__ import annotations

from compress.core.model.sketch import Sketch
from compress.core.model.state import State
from compress.core.stage.declaration import UNMERGED

__all__ = ["forbidden"]


def forbidden(sketch: Sketch, *, narrows: bool = False) -> frozenset[State]:
    """The states that such a model must not have to be pruned.

    A factorized embedding matrix is in the way of what narrows the hidden size, and of nothing else.

    Args:
        sketch: of the model.
        narrows: whether the hidden size is cut, which the embedding matrix has too.
    """
    factorized: frozenset[State] = frozenset({"factorized"} if narrows or sketch.has_factorized_linears else ())
    return UNMERGED.union({"shared"}, factorized)
