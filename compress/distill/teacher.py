"""Teachers: a model that is run on each batch, or a cache of its outputs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from compress.core.answers import Answers
from compress.core.errors import Refusal
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch, accepted, evaluating, model_inputs
from compress.core.model.precision import autocast
from compress.core.stage.task import Outputs, TaskView

__all__ = ["LiveTeacher", "Taught", "Teacher", "outputs_and_hidden", "same_inputs", "same_tokens"]


@dataclass(frozen=True)
class Taught:
    """A teacher's outputs for a batch.

    Attributes:
        answers: for its rows: logits, spans or vectors.
        hidden: layer, from 0 -> its hidden states, padded like the batch.
        matched: rows that both tokenizers split into equally many tokens; None for all.
    """

    answers: Answers[Tensor]
    hidden: Mapping[int, Float[Tensor, "batch length width"]] = field(default_factory=dict)
    matched: Bool[Tensor, " batch"] | None = None


class Teacher(Protocol):
    """Gives the teacher's outputs for a batch that was encoded for the student."""

    def __call__(self, batch: Batch) -> Taught: ...

    def facts(self) -> dict[str, Any]:
        """What the report says of it; the same after an interruption."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """What the facts are made of and the training collects, for its checkpoints."""
        ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None: ...


class LiveTeacher:
    """Teacher that is run on the student's own batches; for two models of the same tokens.

    It runs in the precision of the training, without dropout and without gradients.

    Args:
        teacher: the model.
        task: reads the answers out of its outputs.
        layers: of the teacher, from 0, whose hidden states are given.
        precision: of the training: `fp32`, `bf16`, `fp16` or `auto`.
    """

    def __init__(self, teacher: Bundle, task: TaskView, *, layers: tuple[int, ...], precision: str = "fp32") -> None:
        self.model, self.task = teacher.model, task
        self.family, self.layers, self.precision = teacher.family, layers, precision

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Taught:
        device = next(iter(batch.values())).device
        self.model.to(device)
        with evaluating(self.model), autocast(device, self.precision, self.family):
            outputs, hidden = outputs_and_hidden(self.model, model_inputs(batch, self.model), hidden=bool(self.layers))
        return Taught(self.task.answers(outputs, batch), {layer: hidden[layer] for layer in self.layers})

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None: ...

    def facts(self) -> dict[str, Any]:
        return {"outputs": "computed for each batch"}


def outputs_and_hidden(
    model: nn.Module, inputs: Mapping[str, Tensor], *, hidden: bool
) -> tuple[Outputs, tuple[Tensor, ...]]:
    """Outputs of a forward pass, and the hidden states after each layer (without the embeddings' output).

    Args:
        model: with its head.
        inputs: the entries of a batch that enter the model.
        hidden: whether the hidden states are wanted; else the tuple is empty.

    Raises:
        Refusal: the model does not give its hidden states.
    """
    outputs = model(**inputs, output_hidden_states=True) if hidden else model(**inputs)
    if not hidden:
        return outputs, ()
    # Of an encoder with a decoder the stages know the encoder.
    found = getattr(outputs, "hidden_states", None) or getattr(outputs, "encoder_hidden_states", None)
    if found is None:
        what = f"hidden_states cannot compare the layers of {type(model).__name__}: it does not give their outputs"
        raise Refusal(what, advice="leave out the loss 'hidden_states'")
    return outputs, tuple(found[1:])


def same_inputs(one: Bundle, other: Bundle) -> bool:
    """Whether one encoded batch serves both: equal tokens, and the same of the tokenizer's outputs are taken.

    Args:
        one: a model with its tokenizer or image processor.
        other: another one.
    """
    return same_tokens(one.processor, other.processor) and _taken(one) == _taken(other)


def same_tokens(one: Any, other: Any) -> bool:
    """Whether two tokenizers (or image processors) give the same inputs for the same text (or image).

    Args:
        one: a tokenizer, an image processor, or None.
        other: another one.
    """
    return one is other or (type(one) is type(other) and _rules(one) == _rules(other))


def _taken(bundle: Bundle) -> set[str]:
    offered = getattr(bundle.processor, "model_input_names", ())
    return set(offered) & set(accepted(bundle.model))


def _rules(processor: Any) -> Any:
    backend = getattr(processor, "backend_tokenizer", None)
    if backend is None:
        return processor.to_dict() if hasattr(processor, "to_dict") else processor.get_vocab()
    rules = json.loads(backend.to_str())
    # What the last call asked for, not a property of the tokenizer.
    return {name: value for name, value in rules.items() if name not in ("padding", "truncation")}
