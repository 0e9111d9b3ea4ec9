"""The matrices of a model that are known by role: the linears of its blocks, and its table of words."""

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
    """One matrix: a linear, or a table of words.

    Attributes:
        path: from the base model.
        roles: what it is; several where the family fuses them in one linear; `words` for the table.
        block: the number of its block, None for the table.
        outputs, inputs: the matrix is (outputs, inputs); a table is (words, width).
        rank: of its factors where it is kept as two, else None.
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
    """The linears of the blocks that have a role, first block first; a weight that several use stands here once."""
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
    """The table of words, or None where the model reads none."""
    base = base_model(model)
    if family.word_embedding is None or not has(base, family.word_embedding):
        return None
    table = base.get_submodule(family.word_embedding)
    if not isinstance(table, nn.Embedding):
        return None
    rank = table.rank if isinstance(table, FactorizedEmbedding) else None
    return Place(family.word_embedding, ("words",), None, table.num_embeddings, table.embedding_dim, rank)


def role_paths(block: nn.Module, family: Family) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Path of each linear that has a role in a block, and its roles; several where the family fuses them."""
    paths = {role: family.path(block, role) for role in ROLES if getattr(family, role)}
    for path in dict.fromkeys(paths.values()):
        if has(block, path):
            yield path, tuple(role for role in ROLES if paths.get(role) == path)


def is_linear(module: nn.Module) -> bool:
    """Whether it is a linear, dense or stored in few bits, or transformers' Conv1D."""
    return isinstance(module, nn.Linear) or is_transposed(module)
