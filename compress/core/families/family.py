"""One record for each model family: where its parts are. The only place that knows family names."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from operator import attrgetter
from typing import Literal

from torch import nn

from compress.core.errors import Refusal, UnknownName

__all__ = ["Family", "family_of", "families"]

Part = Literal["heads", "neurons", "layers"]


@dataclass(frozen=True)
class Family:
    """Where a family keeps its parts. Paths are dotted and relative to the base model, or to one block.

    A role that the family does not have is None. `refusals` says, by part, why the stages cannot work on it: the text
    completes the sentence "<model type>: heads cannot be cut: ...".
    """

    model_type: str
    blocks: str = ""
    """The ModuleList of the blocks, from the base model."""
    query: str | None = None
    key: str | None = None
    value: str | None = None
    output: str | None = None
    """The linear after attention; its input is the concatenated heads."""
    up: str | None = None
    gate: str | None = None
    down: str | None = None
    """The second linear of the feed-forward network; its input is the neurons."""
    biases_of_head: tuple[str, ...] = ()
    """Further linears of a block whose output is the concatenated heads (DeBERTa-v2's position projections)."""
    head_attributes: Mapping[str, Literal["heads", "width"]] = field(default_factory=dict)
    """Attributes of a block that hold the number of heads, or heads times head size, and are read in forward."""
    one_set_of_heads: bool = False
    """All blocks share one position bias per head, so all must keep the same heads."""
    shared_head_table: str | None = None
    """The embedding (positions x heads) that all blocks share, from the base model."""
    embeddings: str | None = None
    """The module that holds all input tables, from the base model."""
    word_embedding: str | None = None
    position_embedding: str | None = None
    config: Mapping[str, str] = field(default_factory=lambda: {
        "layers": "num_hidden_layers",
        "heads": "num_attention_heads",
        "neurons": "intermediate_size",
        "hidden": "hidden_size",
    })
    """Our words for the fields of the configuration."""
    head_modules: tuple[str, ...] = ("classifier", "score", "pooler")
    """Names of modules that belong to the task's head, anywhere in the model."""
    refusals: Mapping[Part, str] = field(default_factory=dict)

    def require(self, part: Part, *, stage: str) -> None:
        """Raise `Refusal` where the part is not defined for this family."""
        if part in self.refusals:
            raise Refusal(
                f"{stage} cannot work on the {part} of a {self.model_type} model: {self.refusals[part]}",
                advice="'trimformer list families' shows what works on which family",
            )

    def module_list(self, model: nn.Module) -> nn.ModuleList:
        """The blocks of `model` (with or without a task's head)."""
        return attrgetter(self.blocks)(base_model(model))

    def block_parts(self, model: nn.Module, role: str) -> Iterator[nn.Module]:
        """The module of `role` (`query`, `down`, ...) in each block, first block first."""
        path = getattr(self, role)
        return (attrgetter(path)(block) for block in self.module_list(model))


def base_model(model: nn.Module) -> nn.Module:
    """The model without its task's head."""
    return getattr(model, "base_model", model)


@cache
def families() -> dict[str, Family]:
    """Model type -> record, of every family, sorted by name."""
    package = importlib.import_module("compress.core.families")
    found: dict[str, Family] = {}
    for module in pkgutil.iter_modules(package.__path__, prefix=f"{package.__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, Family):
                found[value.model_type] = value
    return dict(sorted(found.items()))


def family_of(model_type: str) -> Family:
    """The record of `model_type` (`config.model_type`), or `UnknownName` with the near one."""
    known = families()
    if model_type not in known:
        raise UnknownName("model family", model_type, known)
    return known[model_type]
