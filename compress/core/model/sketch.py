"""Sketch: the architecture of a model without its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor, nn

from compress.core.families.family import Family, base_model
from compress.core.model.embeddings import position_count, word_count
from compress.core.model.linears import Place, linear_places, word_place
from compress.core.model.low_bit import parameter_count, stored_bytes
from compress.core.model.masks import saved_bytes
from compress.core.model.state import State
from compress.core.model.wrapping import linear_shape

__all__ = ["NO_MASKS", "Sketch"]

NO_MASKS: Mapping[str, Tensor] = MappingProxyType({})


@dataclass(frozen=True)
class Sketch:
    """Architecture without weights: family, shapes and states, of a model on any device, the meta device too.

    `heads[i]` and `neurons[i]` are the counts of block i, a decoder's blocks after the encoder's, and then its
    cross-attention; both are empty where the family refuses the part. `hidden` is the hidden size.
    """

    family: Family
    layers: int
    hidden: int
    head_size: int
    heads: tuple[int, ...]
    neurons: tuple[int, ...]
    head_stacks: tuple[str, ...]
    """The stack of each of `heads` (`encoder`, `decoder`, `cross-attention`), as the family calls it."""
    neuron_stacks: tuple[str, ...]
    states: frozenset[State]
    parameters: int
    """Two that are packed in a byte are two; a shared tensor counts once."""
    embedding_parameters: int
    bytes: int
    """Of the weights at their storage type, with the scales of quantized ones; a shared tensor counts once, a masked
    one as its bits and the kept values."""
    linears: tuple[Place, ...] = ()
    """The linears of the blocks that have a role."""
    words: Place | None = None
    """The token embeddings."""
    vocabulary: int = 0
    """Rows of the token embeddings; 0 where there are none."""
    positions: int = 0
    """Longest sequence, in tokens, of the position embeddings; 0 where there are none."""

    @property
    def first_stack_alone(self) -> tuple[str, ...]:
        """Remark for a stage that works on the first stack alone; empty where there is no other."""
        others = ", ".join(self.other_stacks())
        return (f"works on the {self.family.stack}'s layers alone; left as they are: {others}",) if others else ()

    @property
    def block_heads(self) -> tuple[int, ...]:
        """`heads` of the family's first stack alone."""
        return self.heads[: self.layers]

    @property
    def block_neurons(self) -> tuple[int, ...]:
        """`neurons` of the family's first stack alone."""
        return self.neurons[: self.layers]

    @property
    def has_factorized_linears(self) -> bool:
        """Whether a linear of the blocks is factorized, not the embedding matrix alone."""
        return any(place.rank for place in self.linears)

    def other_stacks(self, *, heads: bool = True, neurons: bool = True) -> tuple[str, ...]:
        """The stacks beside the first (`decoder`, `cross-attention`) that have their own blocks.

        Args:
            heads, neurons: which of both count.
        """
        found = (*(self.head_stacks if heads else ()), *(self.neuron_stacks if neurons else ()))
        inside = {self.family.stack, *(r.stack for r in self.family.further if r.blocks == self.family.blocks)}
        return tuple(name for name in dict.fromkeys(found) if name not in inside)

    @classmethod
    def of(
        cls,
        model: nn.Module,
        family: Family,
        states: frozenset[State] = frozenset(),
        masks: Mapping[str, Tensor] = NO_MASKS,
    ) -> Sketch:
        config = model.config
        hidden = _field(config, family, "hidden")
        heads, neurons = _widths(model, family, "heads", "output"), _widths(model, family, "neurons", "down")
        return cls(
            family=family,
            layers=_field(config, family, "layers"),
            hidden=hidden,
            head_size=family.head_size(config),
            heads=tuple(count for _, count in heads),
            neurons=tuple(count for _, count in neurons),
            head_stacks=tuple(stack for stack, _ in heads),
            neuron_stacks=tuple(stack for stack, _ in neurons),
            states=states,
            parameters=parameter_count(model),
            embedding_parameters=_embedding_parameters(model, family),
            bytes=stored_bytes(model) - saved_bytes(model, masks),
            linears=linear_places(model, family),
            words=word_place(model, family),
            vocabulary=word_count(model, family) if "vocabulary" not in family.refusals else 0,
            positions=position_count(model, family) if "positions" not in family.refusals else 0,
        )


def _field(config: object, family: Family, word: str) -> int:
    return int(getattr(config, family.config[word], 0) or 0) if word in family.config else 0


def _widths(model: nn.Module, family: Family, part: str, role: str) -> list[tuple[str, int]]:
    """(stack, units that enter the linear of `role`) of each block, from the shape of its weight."""
    if part in family.refusals:
        return []
    unit = {
        record.stack: record.head_size(base_model(model).config) if role == "output" else 1
        for record in family.stacks(model, role)
    }
    inputs = [(record.stack, linear_shape(record.part(block, role))[1]) for block, record in family.groups(model, role)]
    return [(stack, width // unit[stack]) for stack, width in inputs]


def _embedding_parameters(model: nn.Module, family: Family) -> int:
    base = base_model(model)
    tables = {id(m.weight): m.weight for m in base.modules() if isinstance(m, nn.Embedding)}
    return sum(weight.numel() for weight in tables.values())
