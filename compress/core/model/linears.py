"""Weight matrices by role: the linears of a model's blocks, and its token embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from compress.core.families.family import Family, base_model, has
from compress.core.layers.low_rank import FactorizedEmbedding, LowRankLinear
from compress.core.model.matrix import is_transposed
from compress.core.model.wrapping import linear_shape, unwrapped

__all__ = ["ROLES", "Place", "is_linear", "linear_places", "role_paths", "word_place"]

ROLES = ("query", "key", "value", "output", "up", "gate", "down")


@dataclass(frozen=True)
class Place:
    """One weight matrix, without its values: of a linear, or of the token embeddings.

    Attributes:
        path: from the base model.
        roles: of the linear (`query`, `up`, ...); several where the family fuses them; `words` for the embeddings.
        block: index of its block, from 0; None for the embeddings.
        outputs, inputs: the matrix is (outputs, inputs); embeddings are (vocabulary, width).
        rank: of its factors where it is factorized, else None.
    """

    path: str
    roles: tuple[str, ...]
    block: int | None
    outputs: int
    inputs: int
    rank: int | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.outputs, self.inputs

    @property
    def size(self) -> int:
        return self.outputs * self.inputs


def linear_places(model: nn.Module, family: Family) -> tuple[Place, ...]:
    """The linears with a role, first block first; a weight that several blocks share is listed once.

    Args:
        model: with or without a head.
        family: of the model.
    """
    found: dict[int, Place] = {}
    for number, block in enumerate(family.module_list(model) if family.blocks else ()):
        for path, roles in role_paths(block, family):
            linear: Any = unwrapped(block.get_submodule(path))
            if id(linear.weight) not in found:
                rank = linear.rank if isinstance(linear, LowRankLinear) else None
                place = Place(f"{family.blocks}.{number}.{path}", roles, number, *linear_shape(linear), rank)
                found[id(linear.weight)] = place
    return tuple(found.values())


def word_place(model: nn.Module, family: Family) -> Place | None:
    """The token embeddings, or None where the model has none.

    Args:
        model: with or without a head.
        family: of the model.
    """
    base = base_model(model)
    if family.word_embedding is None or not has(base, family.word_embedding):
        return None
    table = base.get_submodule(family.word_embedding)
    if not isinstance(table, nn.Embedding):
        return None
    rank = table.rank if isinstance(table, FactorizedEmbedding) else None
    return Place(family.word_embedding, ("words",), None, table.num_embeddings, table.embedding_dim, rank)


def role_paths(block: nn.Module, family: Family) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Path of each linear that has a role in a block, and its roles; several where the family fuses them.

    Args:
        block: one Transformer block.
        family: of the model.
    """
    paths = {role: family.path(block, role) for role in ROLES if getattr(family, role)}
    for path in dict.fromkeys(paths.values()):
        if has(block, path):
            yield path, tuple(role for role in ROLES if paths.get(role) == path)


def is_linear(module: nn.Module) -> bool:
    """Whether it is a linear, dense or stored in few bits, or transformers' Conv1D."""
    return isinstance(module, nn.Linear) or is_transposed(module)
