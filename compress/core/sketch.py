"""What is known of a model without its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from compress.core.families.family import Family, base_model
from compress.core.places import Place, linear_places, word_place
from compress.core.storage.model import parameter_count, stored_bytes
from compress.core.tables import position_count, word_count
from compress.core.wrapped import linear_shape

__all__ = ["Sketch", "State"]

State = Literal["head_trained", "adapted", "quantized", "fake_quantized", "shared", "factorized", "masked", "trimmed"]


@dataclass(frozen=True)
class Sketch:
    """Family, shapes and states. Built from a model on any device, the meta device too.

    `heads[i]` and `neurons[i]` are those of block i; both are empty where the family refuses the part.
    """

    family: Family
    layers: int
    hidden: int
    head_size: int
    heads: tuple[int, ...]
    neurons: tuple[int, ...]
    states: frozenset[State]
    parameters: int
    """Those that are packed, two in a byte or one, count each by itself."""
    embedding_parameters: int
    bytes: int
    """Of the weights at their storage type, with the scales of packed ones; a shared tensor counts once."""
    linears: tuple[Place, ...] = ()
    """Those of the blocks that have a role."""
    words: Place | None = None
    """The table of words."""
    vocabulary: int = 0
    """Rows of the table of words; 0 where there is none."""
    positions: int = 0
    """How many tokens the table of positions serves; 0 where there is none."""

    @classmethod
    def of(cls, model: nn.Module, family: Family, states: frozenset[State] = frozenset()) -> Sketch:
        config = model.config
        hidden = _field(config, family, "hidden")
        head_size = family.head_size(config)
        return cls(
            family=family,
            layers=_field(config, family, "layers"),
            hidden=hidden,
            head_size=head_size,
            heads=_widths(model, family, "heads", "output", head_size),
            neurons=_widths(model, family, "neurons", "down", 1),
            states=states,
            parameters=parameter_count(model),
            embedding_parameters=_embedding_parameters(model, family),
            bytes=stored_bytes(model),
            linears=linear_places(model, family),
            words=word_place(model, family),
            vocabulary=word_count(model, family) if "vocabulary" not in family.refusals else 0,
            positions=position_count(model, family) if "positions" not in family.refusals else 0,
        )


def _field(config: object, family: Family, word: str) -> int:
    return int(getattr(config, family.config[word], 0) or 0) if word in family.config else 0


def _widths(model: nn.Module, family: Family, part: str, role: str, unit: int) -> tuple[int, ...]:
    """Units that enter the linear of `role` in each block, from the shape of its weight."""
    if part in family.refusals or not getattr(family, role) or not unit:
        return ()
    return tuple(linear_shape(linear)[1] // unit for linear in family.block_parts(model, role))


def _embedding_parameters(model: nn.Module, family: Family) -> int:
    base = base_model(model)
    tables = {id(m.weight): m.weight for m in base.modules() if isinstance(m, nn.Embedding)}
    return sum(weight.numel() for weight in tables.values())
