"""A model in the form that the exporters trace: a copy on the CPU, with eager attention, from tensors to logits."""

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
        # The exporters put a module back into the mode that they found; a fresh wrapper would mean training.
        self.eval()

    def forward(self, *tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
        given = self.model(**dict(zip(self.inputs, tensors)))
        found = tuple(given[name] for name in self.outputs)
        return found[0] if len(found) == 1 else found


@dataclass(frozen=True)
class Traceable:
    """What a format writes.

    Attributes:
        module: takes the tensors of `inputs` in order, gives those of `outputs`.
        inputs: their names.
        outputs: name -> whether it has the length of the text as its second axis.
        example: one tensor for each input, of at least two rows.
        model_type: the family's name, for messages.
        heads: attention heads of each block, or empty where the family's blocks do not tell.
        head_size: width of one head.
        hidden: width of the model.
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
        """Which axes change from batch to batch: the rows, and the length of a text."""
        axes = {0: "batch", 1: "sequence"}
        named = {name: axes if tensor.dim() == 2 else {0: "batch"} for name, tensor in zip(self.inputs, self.example)}
        return {**named, **{name: axes if long else {0: "batch"} for name, long in self.outputs.items()}}


def traceable(bundle: Bundle, batch: Batch) -> Traceable:
    """A copy of `bundle`'s model that can be traced on `batch`; the bundle stays as it is.

    Args:
        bundle: any model, stock or cut.
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
    """A decoder that keeps keys and values for a next token would trace an empty cache."""
    for module in model.modules():
        config: Any = getattr(module, "config", None)
        if getattr(config, "use_cache", False):
            config.use_cache = False


def input_names(model: nn.Module, batch: Batch) -> tuple[str, ...]:
    """The inputs that the exported model has: those of the batch, in the order of the model's forward."""
    found = tuple(name for name in accepted(model) if name in batch)
    if not found:
        raise InputError("the batches have none of the inputs of the model", given=sorted(batch))
    return found


def _outputs(model: nn.Module, example: dict[str, Tensor]) -> dict[str, bool]:
    """The outputs that answer, each with whether it is as long as the text: seen on texts of another length."""
    other = {name: _other_length(tensor) for name, tensor in example.items()}
    with torch.no_grad():
        given, again = (answering(model(**inputs)) for inputs in (example, other))
    if not given:
        raise InputError(f"the model has no head that answers: {type(model).__name__}")
    return {name: tensor.shape != again[name].shape for name, tensor in given.items()}


def _other_length(values: Tensor) -> Tensor:
    """Token ids or a mask with a token less at the beginning; what is no text as it is."""
    if values.dim() != 2:
        return values
    return values[:, 1:] if values.shape[1] > 1 else values.repeat(1, 2)


def _two_rows(values: Tensor) -> Tensor:
    """A batch of one would be traced as a constant."""
    rows = values.detach().cpu()
    return torch.cat([rows, rows])[:2] if len(rows) < 2 else rows[:2].clone()
