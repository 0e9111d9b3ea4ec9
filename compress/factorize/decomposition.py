"""Low-rank decompositions: which error the factors of a matrix minimise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from torch import nn

from compress.core.choice import Choice
from compress.core.model.bundle import Bundle
from compress.core.stage.context import Context
from compress.factorize.decompositions.low_rank import Weighting

__all__ = ["Decomposition", "Users", "What"]

What = Literal["embeddings", "linears"]
Users = Mapping[str, Sequence[nn.Module]]
"""Path from the base model -> the modules that use the matrix there: one, or those of all blocks that share it."""


class Decomposition(Choice):
    """Low-rank decomposition, by the error that it minimises: of the weights, of the outputs, or of the task's loss."""

    home: ClassVar[str] = "compress.factorize.decompositions"
    fits: ClassVar[frozenset[What]] = frozenset({"linears"})
    needs_data: ClassVar[bool] = False
    """Whether it reads *train*."""
    draws_random_numbers: ClassVar[bool] = False
    needs_head: ClassVar[bool] = False
    """Whether it needs a head that is trained for the task."""

    def weightings(self, bundle: Bundle, modules: Users, ctx: Context) -> dict[str, Weighting]:
        """Path -> weighting of that matrix's error. The model stays as it is.

        Args:
            bundle: the model.
            modules: path from the base model -> the linears, or the embeddings, that use the matrix.
            ctx: gives batches of *train*.
        """
        raise NotImplementedError
