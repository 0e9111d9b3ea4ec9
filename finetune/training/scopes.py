"""Contexts of a fit: changes to a model and to the random numbers that are undone afterwards."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from compress.core.errors import InputError
from compress.core.fit.plan import TrainPlan

__all__ = ["activations_recomputed", "left_as_found", "plain_forward", "randomness_restored", "recompute"]


@contextmanager
def left_as_found(model: nn.Module) -> Iterator[None]:
    """Context in which the Trainer may wrap the model and set its attributes; only the weights stay changed."""
    attributes, was_training = dict(vars(model)), model.training
    config = vars(model.config) if hasattr(model, "config") else {}
    use_cache = {name: value for name, value in config.items() if name == "use_cache"}
    try:
        yield
    finally:
        for name in set(vars(model)) - set(attributes):
            del vars(model)[name]
        vars(model).update({name: value for name, value in attributes.items() if name == "forward"})
        config.pop("use_cache", None)
        config.update(use_cache)
        model.zero_grad(set_to_none=True)
        model.train(was_training)


@contextmanager
def plain_forward(model: nn.Module) -> Iterator[None]:
    """Context in which the model computes as in inference, without the autocast that training wraps around it."""
    wrapped = model.__dict__.pop("forward", None)
    try:
        yield
    finally:
        if wrapped is not None:
            model.__dict__["forward"] = wrapped


@contextmanager
def activations_recomputed(model: Any, plan: TrainPlan) -> Iterator[None]:
    """Context with gradient checkpointing, where the plan asks for it.

    Args:
        model: that is trained.
        plan: of the training.

    Raises:
        InputError: the model cannot.
    """
    if not plan.gradient_checkpointing:
        yield
        return
    if not getattr(model, "supports_gradient_checkpointing", False):
        raise InputError(
            f"{type(model).__name__} cannot recompute activations", advice="leave out `gradient_checkpointing: true`"
        )
    recompute(model, "enable", {"use_reentrant": False})
    try:
        yield
    finally:
        recompute(model, "disable")
        model.disable_input_require_grads()


def recompute(model: nn.Module, verb: str, *settings: Any) -> None:
    """Switch gradient checkpointing, and the key-value cache with it.

    transformers 5 renamed the two methods on its way.

    Args:
        model: that is trained.
        verb: `enable` or `disable`.
        settings: of the method.
    """
    config: Any = model.config
    if verb == "enable" and getattr(config, "use_cache", False):
        config.use_cache = False
    method = getattr(model, f"activation_checkpointing_{verb}", None) or getattr(
        model, f"gradient_checkpointing_{verb}"
    )
    method(*settings)


@contextmanager
def randomness_restored() -> Iterator[None]:
    """Inside a `with` the global random numbers are seeded anew; afterwards they go on as if nothing had been drawn."""
    states = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
