"""Insertion of PEFT's layers around a model's linears, in place: the model keeps its class."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from compress.core.low_bit.linear import StoredLinear
from compress.core.model.bundle import Bundle
from compress.core.model.matrix import is_transposed
from compress.core.model.sketch import Sketch
from compress.core.model.wrapping import put
from finetune.inserted.insertion import Insertion
from finetune.inserted.lora.merging import merged_bias, merged_weight
from finetune.inserted.lora.targets import Targets, target_linears

if TYPE_CHECKING:
    from peft import PeftConfig

__all__ = ["ADAPTER", "PeftInsertion", "inserted_layers", "inserted_names", "is_inserted"]

ADAPTER = "default"
"""PEFT's name for an adapter that has none."""
MARKS = ("lora_", "ia3_")


class PeftInsertion(Insertion):
    """PEFT's layers around the linears that `targets` names; the added parameters are fp32, whatever the base is."""

    targets: Targets = Field(description="roles, names of linears, or `all`")

    def config(self, bundle: Bundle, linears: dict[str, nn.Module], **more: Any) -> PeftConfig:
        """PEFT's configuration of this insertion.

        Args:
            linears: the wrapped ones, by path.
            more: further fields of a saved configuration: `task_type`, `modules_to_save`, `base_model_name_or_path`.
        """
        raise NotImplementedError

    def check(self, linears: dict[str, nn.Module]) -> None:
        """Raise `InputError` where the settings do not fit the linears; all do unless overridden."""

    def apply(self, bundle: Bundle) -> Bundle:
        from peft import inject_adapter_in_model

        model: Any = bundle.model
        linears = target_linears(bundle, self.targets)
        self.check(linears)
        config = self.config(bundle, linears)
        with trainability_kept(model), storage_told(model, linears), plain_without_weights(model, linears):
            inject_adapter_in_model(config, model, adapter_name=ADAPTER)
        del model.peft_config
        layers = inserted_layers(model)
        for layer in layers.values():
            put(model, layer.base_layer, layer)  # the other parents of a linear that several blocks share
        self._start(layers)
        bundle.states = bundle.states | {"adapted"}
        return bundle

    def inserted(self, bundle: Bundle) -> frozenset[str]:
        return inserted_names(bundle.model)

    @torch.no_grad()
    def merge(self, bundle: Bundle) -> None:
        for layer in inserted_layers(bundle.model).values():
            linear = layer.base_layer
            weight = merged_weight(layer, ADAPTER)
            linear.weight.copy_(weight.T if is_transposed(linear) else weight)
            if linear.bias is not None:
                linear.bias.copy_(merged_bias(layer, ADAPTER))
            put(bundle.model, layer, linear)

    def write(self, bundle: Bundle, directory: Path, *, base: str) -> str | None:
        from finetune.inserted.lora import peft_format

        if not peft_format.expressible(bundle):
            return None
        peft_format.write(bundle, self, directory, base=base)
        return peft_format.TENSORS

    def read(self, directory: Path) -> dict[str, Tensor]:
        from finetune.inserted.lora import peft_format

        return peft_format.read(directory)

    def summary(self, before: Sketch) -> dict[str, Any]:
        return {"targets": list(self.targets)}

    def _start(self, layers: dict[str, Any]) -> None:
        """What of the start PEFT leaves to be set right: the new parameters are fp32."""
        for layer in layers.values():
            for name, parameter in layer.named_parameters():
                if is_inserted(name):
                    parameter.data = parameter.data.float()


def is_inserted(name: str) -> bool:
    """Whether a parameter of this name was added by an insertion of this module, and is trained."""
    return any(part.startswith(MARKS) for part in name.split("."))


def inserted_names(model: nn.Module) -> frozenset[str]:
    """Names of the added parameters. AdaLoRA's `ranknum`, a constant, is none."""
    return frozenset(name for name, _ in model.named_parameters() if is_inserted(name))


def inserted_layers(model: nn.Module) -> dict[str, Any]:
    """Path -> PEFT's layer, of every wrapped linear."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return {path: module for path, module in model.named_modules() if isinstance(module, BaseTunerLayer)}


@contextmanager
def trainability_kept(model: nn.Module) -> Iterator[None]:
    """Context in which PEFT may freeze the base; afterwards each parameter's `requires_grad` is restored."""
    before = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        yield
    finally:
        for parameter, free in before:
            parameter.requires_grad_(free)


@contextmanager
def storage_told(model: nn.Module, linears: dict[str, nn.Module]) -> Iterator[None]:
    """Context in which the model has the attributes by which PEFT finds bitsandbytes' linears in 4 or 8 bits.

    Args:
        model: whose linears are to be wrapped.
        linears: path -> linear.
    """
    kinds = {kind.__name__ for linear in linears.values() for kind in type(linear).__mro__}
    told = {"is_loaded_in_4bit": "Linear4bit" in kinds, "is_loaded_in_8bit": "Linear8bitLt" in kinds}
    before = {name: vars(model)[name] for name in told if name in vars(model)}
    vars(model).update(told)
    try:
        yield
    finally:
        for name in told:
            del vars(model)[name]
        vars(model).update(before)


@contextmanager
def plain_without_weights(model: nn.Module, linears: dict[str, nn.Module]) -> Iterator[None]:
    """Context in which plain linears replace those stored in few bits on the meta device.

    There PEFT lacks the attributes of bitsandbytes' weights; the shapes are the same.

    Args:
        model: whose linears are to be wrapped.
        linears: path -> linear.
    """
    stored: list[Any] = [linear for linear in linears.values() if isinstance(linear, StoredLinear)]
    pairs = [
        (linear, nn.Linear(linear.in_features, linear.out_features, bias=linear.bias is not None, device="meta"))
        for linear in stored
        if linear.weight.is_meta
    ]
    for linear, plain in pairs:
        put(model, linear, plain)
    yield
    for linear, plain in pairs:
        put(model, plain, linear)
