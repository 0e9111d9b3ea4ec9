"""A model in traceable form: a copy on the CPU, with eager attention, from tensors to logits."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from compress.core.errors import InputError
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch, accepted
from compress.core.stage.task import answering

__all__ = ["Traceable", "input_names", "traceable"]


class _Outputs(nn.Module):
    """From tensors in the order of `inputs` to tensors in the order of `outputs`."""

    def __init__(self, model: nn.Module, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.inputs, self.outputs = model, inputs, outputs
        # The exporters restore the mode of the module; that of a fresh wrapper would be training.
        self.eval()

    def forward(self, *tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
        given = self.model(**dict(zip(self.inputs, tensors)))
        found = tuple(given[name] for name in self.outputs)
        return found[0] if len(found) == 1 else found


@dataclass(frozen=True)
class Traceable:
    """Traceable model, which a format writes.

    Attributes:
        module: takes the tensors of `inputs` in order, gives those of `outputs`.
        inputs: their names.
        outputs: name -> whether its second axis is the sequence length.
        example: one tensor for each input, of at least two rows.
        model_type: the family's name, for messages.
        heads: number of attention heads of each block; empty where the family has no such record.
        head_size: of one attention head.
        hidden: hidden size.
    """

    module: nn.Module
    inputs: tuple[str, ...]
    outputs: dict[str, bool]
    example: tuple[Tensor, ...]
    model_type: str
    heads: tuple[int, ...]
    head_size: int
    hidden: int

    def dynamic_axes(self) -> dict[str, dict[int, str]]:
        """Dynamic axes by name: the batch, and the sequence length."""
        axes = {0: "batch", 1: "sequence"}
        named = {name: axes if tensor.dim() == 2 else {0: "batch"} for name, tensor in zip(self.inputs, self.example)}
        return {**named, **{name: axes if long else {0: "batch"} for name, long in self.outputs.items()}}


def traceable(bundle: Bundle, batch: Batch) -> Traceable:
    """A copy of `bundle`'s model that can be traced on `batch`; the bundle stays as it is.

    Args:
        bundle: any model, stock or pruned.
        batch: one encoded batch of the task, of which two rows are the example.

    Raises:
        InputError: the batch has none of the model's inputs.
    """
    model: Any = copy.deepcopy(bundle.model).cpu().float().eval()
    model.requires_grad_(False)
    # Fused attention kernels trace into graphs that the runtimes cannot optimise.
    model.set_attn_implementation("eager")
    _without_cache(model)
    inputs = input_names(model, batch)
    sketch = bundle.sketch()
    example = tuple(_two_rows(batch[name]) for name in inputs)
    outputs = _outputs(model, dict(zip(inputs, example)))
    return Traceable(
        module=_Outputs(model, inputs, tuple(outputs)),
        inputs=inputs,
        outputs=outputs,
        example=example,
        model_type=bundle.family.model_type,
        heads=sketch.heads,
        head_size=sketch.head_size,
        hidden=sketch.hidden,
    )


def _without_cache(model: nn.Module) -> None:
    """Switch the key-value cache off: a decoder would trace an empty one."""
    for module in model.modules():
        config: Any = getattr(module, "config", None)
        if getattr(config, "use_cache", False):
            config.use_cache = False


def input_names(model: nn.Module, batch: Batch) -> tuple[str, ...]:
    """Inputs of the exported model: those of the batch, in the order of the model's forward.

    Args:
        model: with its head.
        batch: name -> tensor.

    Raises:
        InputError: the batch has none of the model's inputs.
    """
    found = tuple(name for name in accepted(model) if name in batch)
    if not found:
        raise InputError("the batches have none of the inputs of the model", given=sorted(batch))
    return found


def _outputs(model: nn.Module, example: dict[str, Tensor]) -> dict[str, bool]:
    """The outputs of the head, each with whether its shape depends on the sequence length: tried at another length."""
    other = {name: _other_length(tensor) for name, tensor in example.items()}
    with torch.no_grad():
        given, again = (answering(model(**inputs)) for inputs in (example, other))
    if not given:
        raise InputError(f"the model has no head with outputs: {type(model).__name__}")
    return {name: tensor.shape != again[name].shape for name, tensor in given.items()}


def _other_length(values: Tensor) -> Tensor:
    """Token ids or a mask without the first token; other inputs as they are."""
    if values.dim() != 2:
        return values
    return values[:, 1:] if values.shape[1] > 1 else values.repeat(1, 2)


def _two_rows(values: Tensor) -> Tensor:
    """A batch of one would be traced as a constant."""
    rows = values.detach().cpu()
    return torch.cat([rows, rows])[:2] if len(rows) < 2 else rows[:2].clone()
