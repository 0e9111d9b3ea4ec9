"""What the tests of prompts and prefixes do on every family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from compress.core.families.family import base_model
from compress.core.model.bundle import Bundle
from finetune.inserted.insertion import Insertion
from tests.tiny import tiny_bundle, tiny_inputs

__all__ = ["answers", "inserted", "perturbed", "recorded", "rows_alone"]


def inserted(name: str, change: Insertion, *, attention: str | None = None, **config: Any) -> Bundle:
    """A tiny model of the family with `change` made, what it inserted drawn from a wide normal distribution."""
    bundle = tiny_bundle(name, **config)
    if attention:
        model: Any = bundle.model
        model.set_attn_implementation(attention)
    return perturbed(bundle.changed_by(change), change)


@torch.no_grad()
def perturbed(bundle: Bundle, change: Insertion, seed: int = 3) -> Bundle:
    """The bundle with everything that `change` inserted drawn anew."""
    generator = torch.Generator().manual_seed(seed)
    parameters = dict(bundle.model.named_parameters())
    for name in sorted(change.inserted(bundle)):
        parameters[name].copy_(torch.randn(parameters[name].shape, generator=generator))
    return bundle


@torch.no_grad()
def answers(bundle: Bundle, inputs: Mapping[str, Any] | None = None) -> Tensor:
    """The logits, in evaluation mode."""
    logits: Tensor = bundle.model.eval()(**(tiny_inputs(bundle) if inputs is None else inputs)).logits
    return logits


def rows_alone(bundle: Bundle, inputs: Mapping[str, Tensor]) -> Tensor:
    """The logits of each row by itself, without its padding."""
    found = []
    for row in range(len(inputs["input_ids"])):
        length = int(inputs["attention_mask"][row].sum())
        found.append(answers(bundle, {name: value[row : row + 1, :length] for name, value in inputs.items()}))
    return torch.cat(found)


def recorded(bundle: Bundle, inputs: Mapping[str, Any], module: nn.Module | None = None) -> tuple[Any, Any, Any]:
    """(args, keyword arguments, output) of the one call of `module`, the base model unless given."""
    seen: list[tuple[Any, Any, Any]] = []
    hooked = base_model(bundle.model) if module is None else module
    hook = hooked.register_forward_hook(lambda _, args, kwargs, out: seen.append((args, kwargs, out)), with_kwargs=True)
    answers(bundle, inputs)
    hook.remove()
    return seen[-1]
