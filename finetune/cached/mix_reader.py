"""What every layer says at the one place of a row that the head reads; mix and head run again on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from compress.core.model.bundle import Bundle
from compress.core.stage.task import answering
from finetune.batching.example_inputs import example_inputs
from finetune.cached.reader import Reader, forwards_replaced, last_places
from finetune.inserted.mix.insert import mix_of

__all__ = ["MixReader"]

Places = Callable[[dict[str, Tensor]], Tensor]


class MixReader(Reader):
    """Features are (rows, layers + 1, width), from the embeddings up.

    The model is run on rows of one token whose blocks do nothing, and the mix behind them takes the features.
    """

    unit: ClassVar[str] = "place"
    advice: ClassVar[str] = "write `features: last`, or train with another method"

    def __init__(self, bundle: Bundle, names: frozenset[str]):
        super().__init__(bundle, names)
        self.mix = mix_of(self.model)
        self.blocks = list(bundle.family.module_list(self.model))
        self.outputs: int | None = None
        """Of a block: how many, or None where it gives no tuple."""
        self.places: Places | None = None

    def read(self, inputs: dict[str, Tensor]) -> Tensor:
        self.mix.recorded = []
        handle = self.blocks[0].register_forward_hook(self._note_kind, prepend=True)
        try:
            logits = answering(self.model(**inputs))
            layers: list[Tensor] = self.mix.recorded
        finally:
            handle.remove()
            self.mix.recorded = None
        self.places = self.places or self._found(inputs, layers, logits)
        return _at(layers, self.places(inputs))

    def answer(self, model: nn.Module, features: Tensor) -> dict[str, Tensor]:
        inputs = example_inputs(self.model, batch_size=len(features), length=1, device=features.device)
        if "input_ids" in inputs:
            inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        layers = [features[:, [layer]] for layer in range(features.shape[1])]
        said = layers[0] if self.outputs is None else (layers[0], *[None] * (self.outputs - 1))
        self.mix.given = layers
        try:
            with forwards_replaced(self.blocks, lambda *_, **__: said):
                return self.logits(model, inputs)
        finally:
            self.mix.given = None

    def _note_kind(self, block: nn.Module, args: Any, output: Any) -> None:
        self.outputs = len(output) if isinstance(output, tuple) else None

    def _found(self, inputs: dict[str, Tensor], layers: list[Tensor], logits: dict[str, Tensor]) -> Places:
        """The place that the head reads: the one from which the same answers follow."""
        tried: list[Places] = [_first, last_places] if "attention_mask" in inputs else [_first]
        return tried[self.right([_at(layers, places(inputs)) for places in tried], logits)]


def _first(inputs: dict[str, Tensor]) -> Tensor:
    some = next(iter(inputs.values()))
    return torch.zeros(len(some), dtype=torch.long, device=some.device)


def _at(layers: list[Tensor], places: Tensor) -> Tensor:
    """(rows, layers, width) at one place of each row."""
    rows = torch.arange(len(places), device=places.device)
    return torch.stack([layer[rows, places].float() for layer in layers], dim=1)
