"""Insertion of prefix keys and values into every block's attention."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import Any, ClassVar

import torch
from torch import nn

from compress.core.errors import Refusal
from compress.core.model.bundle import Bundle
from compress.core.model.sketch import Sketch
from compress.core.model.wrapping import linear_shape
from compress.core.values import Count
from finetune.inserted.insertion import Insertion
from finetune.inserted.prompts.attention_forwards import takes_functions, with_prefix
from finetune.inserted.prompts.prefix import Prefix, Redirected, register

__all__ = ["InsertPrefix", "attentions", "draw", "prefixes"]


class InsertPrefix(Insertion):
    """Prefix of `length` trained keys and values in the attention of every block (ALBERT: of its one block)."""

    cannot_merge: ClassVar[str | None] = (
        "a prefix is keys and values that come from no token, and no weight of the base can hold them"
    )

    length: Count

    def apply(self, bundle: Bundle) -> Bundle:
        register()
        for attention, width in attentions(bundle):
            if hasattr(attention, "prefix"):
                raise Refusal("the model has a prefix already", advice="tune the base, or choose another method")
            with bundle.device:
                attention.prefix = Prefix(self.length, width)
            if takes_functions(attention):
                attention.config = Redirected(attention.config)
            else:
                stock: Any = type(attention)
                attention.__class__ = with_prefix(stock)
        bundle.states = bundle.states | {"adapted"}
        return bundle

    def inserted(self, bundle: Bundle) -> frozenset[str]:
        own = {id(parameter) for prefix in prefixes(bundle) for parameter in prefix.parameters()}
        return frozenset(name for name, parameter in bundle.model.named_parameters() if id(parameter) in own)

    def refuses(self, sketch: Sketch) -> str | None:
        return None

    def summary(self, before: Sketch) -> dict[str, Any]:
        return {"prefix_length": self.length}


def attentions(bundle: Bundle) -> Iterator[tuple[Any, int]]:
    """Each block's attention module, with the features of all its heads together, first block first."""
    family = bundle.family
    for block in family.module_list(bundle.model):
        owner = family.path(block, "key").rpartition(".")[0]
        attention: nn.Module = attrgetter(owner)(block)
        yield attention, linear_shape(family.part(block, "output"))[1]


def prefixes(bundle: Bundle) -> Iterator[Prefix]:
    """The prefix of each block, first block first."""
    return (attention.prefix for attention, _ in attentions(bundle))


def draw(bundle: Bundle, generator: torch.Generator, *, deviation: float) -> None:
    """Initialize every prefix from a normal distribution of mean 0.

    Args:
        bundle: a model with prefixes.
        generator: on the CPU.
        deviation: standard deviation.
    """
    with torch.no_grad():
        for prefix in prefixes(bundle):
            for table in prefix.parameters():
                table.copy_(torch.randn(table.shape, generator=generator) * deviation)
