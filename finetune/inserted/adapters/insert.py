"""Insertion of bottleneck adapters into every block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from torch import nn

from compress.core.errors import InputError
from compress.core.families.family import Family
from compress.core.model.bundle import Bundle
from compress.core.model.sketch import Sketch
from compress.core.model.wrapping import linear_shape, put
from compress.core.values import Count, Positive
from finetune.inserted.adapters.bottleneck import Activation, Bottleneck
from finetune.inserted.adapters.wrappers import InputCache, InputRecorder, NormAdapter, ParallelAdapter, SeriesAdapter
from finetune.inserted.insertion import Insertion

__all__ = ["Form", "InsertAdapters", "Place", "too_wide"]

Form = Literal["series", "norm", "parallel"]
Place = Literal["attention", "ffn"]
ENDS: dict[Place, tuple[str, str]] = {"attention": ("query", "output"), "ffn": ("up", "down")}
"""Roles of a sub-layer's first and last linear."""


class InsertAdapters(Insertion):
    """One bottleneck adapter in each chosen sub-layer of each block; layers that share a block share its adapter.

    `series` follows the sub-layer's last linear; `norm` wraps the norm after the residual sum, and is `series` in a
    pre-norm family; `parallel` takes the input of the sub-layer's first linear.
    """

    cannot_merge: ClassVar[str | None] = (
        "between its two projections an adapter is not linear, so no weight can hold it"
    )

    owner: str
    form: Form
    places: tuple[Place, ...]
    width: Count
    activation: Activation
    init_std: Positive | None
    scaling: Positive = 1.0

    def apply(self, bundle: Bundle) -> Bundle:
        if self.inserted(bundle):
            raise InputError(
                f"the model holds adapters of {self.owner} already",
                advice="start from the stage before them, or train another method on top",
            )
        for place in self.places:
            for first, last, norm in _ends(bundle.model, bundle.family, place):
                self._insert(bundle.model, first, last, norm)
        bundle.states = bundle.states | {"adapted"}
        return bundle

    def inserted(self, bundle: Bundle) -> frozenset[str]:
        return frozenset(
            f"{path}.{name}"
            for path, module in bundle.model.named_modules()
            if isinstance(module, Bottleneck) and module.owner == self.owner
            for name, _ in module.named_parameters()
        )

    def refuses(self, sketch: Sketch) -> str | None:
        return too_wide(self.width, sketch.hidden)

    def _insert(self, model: nn.Module, first: nn.Module, last: nn.Module, norm: nn.Module | None) -> None:
        adapter = self._adapter(last)
        if self.form == "parallel":
            cache = InputCache()
            put(model, first, InputRecorder(first, cache))
            put(model, last, ParallelAdapter(last, adapter, cache))
        elif self.form == "norm" and norm is not None:
            put(model, norm, NormAdapter(norm, adapter))
        else:
            put(model, last, SeriesAdapter(last, adapter))

    def _adapter(self, last: nn.Module) -> Bottleneck:
        size = linear_shape(last)[0]
        if problem := too_wide(self.width, size):
            raise InputError(problem, given=self.width, advice="choose a smaller width")
        return Bottleneck(
            size,
            self.width,
            activation=self.activation,
            owner=self.owner,
            init_std=self.init_std,
            scaling=self.scaling,
            device=_device(last),
        )


def too_wide(width: int, size: int) -> str | None:
    """Why a bottleneck of this width is none in a model of this size, or None.

    Args:
        width: bottleneck size.
        size: features of the adapter's input.
    """
    return f"an adapter of width {width} is no bottleneck in a model of width {size}" if width > size else None


def _ends(model: nn.Module, family: Family, place: Place) -> Iterator[tuple[nn.Module, nn.Module, nn.Module | None]]:
    """First and last linear of the sub-layer in each block, and the norm after it where there is one; each once."""
    first, last = (list(family.block_parts(model, role)) for role in ENDS[place])
    has_norm = place == "ffn" and family.feed_forward_norm
    norms: list[nn.Module | None] = (
        [*family.block_parts(model, "feed_forward_norm")] if has_norm else [None] * len(last)
    )
    yield from dict.fromkeys(zip(first, last, norms))


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device
