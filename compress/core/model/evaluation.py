"""Inference on a batch: evaluation mode, the entries of a batch that enter the model, and the padding mask."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from jaxtyping import Bool
from torch import Tensor, nn

if TYPE_CHECKING:
    from compress.core.model.bundle import Bundle

__all__ = ["NOT_INPUTS", "Batch", "accepted", "evaluating", "forward", "model_inputs", "padding_mask", "real_tokens"]

Batch = dict[str, Tensor]
"""One encoded batch: the model's inputs, `labels` (batch,) and `row_id` (batch,) int64."""
NOT_INPUTS = ("labels", "row_id")
"""The entries of a batch that are no inputs of the model: the task computes the loss, not the model."""
Value = TypeVar("Value")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, without dropout, inside a `with`; afterwards every module is in its mode of before."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def accepted(model: nn.Module) -> tuple[str, ...]:
    """The inputs that the model's forward lists, in its order. Families differ in `token_type_ids`."""
    return tuple(name for name in inspect.signature(model.forward).parameters if name not in NOT_INPUTS)


def model_inputs(batch: Mapping[str, Value], model: nn.Module | None = None) -> dict[str, Value]:
    """The entries of a batch that enter a model: neither labels nor row ids.

    Args:
        batch: encoded rows; tensors, or arrays of another kind.
        model: where it is given, also without what its forward does not list.
    """
    names = None if model is None else accepted(model)
    return {n: value for n, value in batch.items() if n not in NOT_INPUTS and (names is None or n in names)}


def padding_mask(batch: Batch) -> Bool[Tensor, "batch length"] | None:
    """Padding mask: True for a token and False for padding; None where the inputs have no `attention_mask`."""
    mask = batch.get("attention_mask")
    return None if mask is None else mask.bool()


def real_tokens(batch: Batch, hidden: Tensor) -> Bool[Tensor, "batch length"]:
    """`padding_mask`, and True everywhere for inputs without padding.

    Args:
        batch: encoded rows.
        hidden: hidden states (batch, length, hidden size) of the same rows.
    """
    mask = padding_mask(batch)
    return torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device) if mask is None else mask


def forward(bundle: Bundle, batch: Batch) -> Any:
    """Forward pass in evaluation mode; the model's mode is restored.

    Args:
        bundle: the model.
        batch: encoded rows; labels and row ids are left out.
    """
    with evaluating(bundle.model):
        return bundle.model(**model_inputs(batch, bundle.model))
