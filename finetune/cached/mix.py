"""What every layer says at the one place of a row that the head reads, computed once; mix and head run again on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from compress.core.errors import InputError, StageFailed
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch, accepted, evaluating, model_inputs
from compress.core.stage.context import Context
from compress.core.stage.task import answering
from finetune.cached.head import BATCH_SIZE, difference, last_places
from finetune.data.example_inputs import example_inputs
from finetune.inserted.mix.insert import mix_of
from finetune.training.flops import grid

__all__ = ["CachedMix"]

Places = Callable[[dict[str, Tensor]], Tensor]


class CachedMix:
    """An objective: the task's loss on what mix and head make of cached layers. No block of the model runs.

    The model's own forward pass is used, on rows of one token whose blocks do nothing, and the mix behind them takes
    the cached vectors. So a last norm, a pooler, dropout and activations are the model's.

    Args:
        bundle: a model with a mix in it; what is not in `names` must stay as it is while this objective is in use.
        names: the parameters of the mix and the head.
        ctx: gives the rows of *train*, and the task.

    Raises:
        StageFailed: the head reads more of a row than one place.
    """

    def __init__(self, bundle: Bundle, names: frozenset[str], ctx: Context):
        if ctx.task is None:
            raise InputError("training a head needs a task", advice="name a task in the recipe")
        started = time.perf_counter()
        self.task, self.mix = ctx.task, mix_of(bundle.model)
        self.parameters = sum(bundle.model.get_parameter(name).numel() for name in names)
        self.blocks = list(bundle.family.module_list(bundle.model))
        self.accepted = accepted(bundle.model)
        self.tokens = self.squared = 0
        self.outputs: int | None = None
        """Of a block: how many, or None where it gives no tuple."""
        self.ids, self.layers = self._gathered(bundle, ctx)
        self.seconds = time.perf_counter() - started

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def bytes(self) -> int:
        return self.layers.numel() * self.layers.element_size()

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        rows = torch.searchsorted(self.ids, batch["row_id"].to(self.ids.device))
        return self.task.loss(self.answer(model, self.layers[rows]), batch)

    def training_flops(self, forward: tuple[float, float], *, tokens: int, squared: int, trained_share: float) -> float:
        """One forward pass over the rows, and mix and head forward and backward for each row that was read."""
        per_token, per_pair = forward
        passes = tokens / max(1, self.tokens)
        each = 6.0 * (self.parameters + self.layers.shape[1] * self.layers.shape[2])
        return per_token * self.tokens + per_pair * self.squared + each * len(self) * passes

    def answer(self, model: nn.Module, layers: Tensor) -> dict[str, Tensor]:
        """The logits, by name, for `layers` (rows, layers + 1, width); `model` is the bundle's, wrapped or not."""
        inputs = example_inputs(self._inner(model), batch_size=len(layers), length=1, device=layers.device)
        if "input_ids" in inputs:
            inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        with self._given([layers[:, [layer]] for layer in range(layers.shape[1])]):
            return answering(model(**{name: value for name, value in inputs.items() if name in self.accepted}))

    def _gathered(self, bundle: Bundle, ctx: Context) -> tuple[Tensor, Tensor]:
        """Row ids in ascending order, and what each layer said of them."""
        ids: list[Tensor] = []
        parts: list[Tensor] = []
        places: Places | None = None
        with evaluating(bundle.model), torch.no_grad():
            for batch in ctx.batches(bundle, part="train", count=2**40, batch_size=BATCH_SIZE):
                inputs = model_inputs(batch)
                layers, outputs = self._read(bundle.model, inputs)
                places = places or self._places(bundle.model, inputs, layers, outputs)
                rows, length = grid(inputs)
                self.tokens += rows * length
                self.squared += rows * length * length
                ids.append(batch["row_id"])
                parts.append(_at(layers, places(inputs)))
        return _in_order(ids, parts)

    def _read(self, model: nn.Module, inputs: dict[str, Tensor]) -> tuple[list[Tensor], dict[str, Tensor]]:
        """What each layer gives, and the logits by name."""
        self.mix.recorded = []
        handle = self.blocks[0].register_forward_hook(self._note_kind, prepend=True)
        try:
            outputs = answering(model(**inputs))
            return self.mix.recorded, outputs
        finally:
            handle.remove()
            self.mix.recorded = None

    def _note_kind(self, block: nn.Module, args: Any, output: Any) -> None:
        self.outputs = len(output) if isinstance(output, tuple) else None

    def _places(
        self, model: nn.Module, inputs: dict[str, Tensor], layers: list[Tensor], outputs: dict[str, Tensor]
    ) -> Places:
        """The place that the head reads: the one from which the same answers follow."""
        for places in (_first, last_places) if "attention_mask" in inputs else (_first,):
            apart = difference(self.answer(model, _at(layers, places(inputs))), outputs)
            if apart is None:
                return places
        raise StageFailed(
            f"the head of {type(model).__name__} reads more of a row than one place",
            given=apart,
            advice="write `features: last`, or train with another method",
        )

    def _inner(self, model: nn.Module) -> nn.Module:
        return model if hasattr(model, "config") else next(m for m in model.modules() if hasattr(m, "config"))

    @contextmanager
    def _given(self, layers: list[Tensor]) -> Iterator[None]:
        """Inside a `with` no block computes anything, and the mix takes `layers`."""
        said = layers[0] if self.outputs is None else (layers[0], *[None] * (self.outputs - 1))
        before = [block.__dict__.get("forward") for block in self.blocks]
        for block in self.blocks:
            block.__dict__["forward"] = lambda *_, **__: said
        self.mix.given = layers
        try:
            yield
        finally:
            self.mix.given = None
            for block, forward in zip(self.blocks, before, strict=True):
                del block.__dict__["forward"]
                if forward is not None:
                    block.__dict__["forward"] = forward


def _first(inputs: dict[str, Tensor]) -> Tensor:
    some = next(iter(inputs.values()))
    return torch.zeros(len(some), dtype=torch.long, device=some.device)


def _at(layers: list[Tensor], places: Tensor) -> Tensor:
    """(rows, layers, width) at one place of each row."""
    rows = torch.arange(len(places), device=places.device)
    return torch.stack([layer[rows, places].float() for layer in layers], dim=1)


def _in_order(ids: list[Tensor], parts: list[Tensor]) -> tuple[Tensor, Tensor]:
    """All rows by ascending id. A part is let go of when it was copied, so that the whole is in memory once."""
    whole = torch.cat(ids)
    ranks = torch.empty_like(whole)
    order = whole.argsort()
    ranks[order] = torch.arange(len(whole), device=whole.device)
    result = torch.empty(len(whole), *parts[0].shape[1:], device=whole.device)
    for places in ranks.split([len(part) for part in parts]):
        result[places] = parts.pop(0)
    return whole[order], result
