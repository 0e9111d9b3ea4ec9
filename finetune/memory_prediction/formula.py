"""Memory of a training step by a formula, for models whose forward pass cannot be simulated."""

from __future__ import annotations

from typing import Any

from torch import nn

from compress.core.families.family import base_model
from finetune.memory_prediction.simulation import Moment, StepShape

__all__ = ["CountedMoment", "formula_peak"]


class CountedMoment(Moment):
    """Moment that the formula gave."""


def formula_peak(model: Any, names: frozenset[str], shape: StepShape) -> CountedMoment:
    """Approximate peak of a training step.

    activations = batch length (c hidden + 2 neurons) layers + 3 batch heads length^2 layers

    with c = 10 numbers for each token and layer: the inputs of the four products of attention, of two norms and of the
    residual sums; twice the neurons, before and after the activation; and attention before and after softmax and
    dropout. With checkpointing one number of width `hidden` for each token and layer, and one layer in full.

    Args:
        model: of any family; its configuration gives the sizes.
        names: the parameters that are trained.
        shape: of the step.

    References:
        Korthikanti et al. 2022, arXiv 2205.05198, section 4.1, for the count of a layer.
    """
    layers, hidden, heads, neurons = _sizes(model)
    size = 2 if shape.bf16 else 4
    tokens = shape.batch_size * shape.length
    layer = size * (tokens * (10 * hidden + 2 * neurons) + 3 * tokens * heads * shape.length)
    activations = size * tokens * hidden * layers + layer if shape.recomputed else layer * layers
    gradients = sum(4 * parameter.numel() for name, parameter in model.named_parameters() if name in names)
    largest = max((module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear)), default=0)
    if not shape.backward:
        return CountedMoment(0, 0, layer)
    return CountedMoment(activations, 0 if shape.accumulated else gradients, 2 * size * largest)


def _sizes(model: Any) -> tuple[int, int, int, int]:
    """Layers (of both stacks where there is a decoder), width, heads and neurons."""
    from compress.core.families.family import family_of

    config, names = model.config, family_of(model.config.model_type).config
    layers, hidden, heads = (int(getattr(config, names[word])) for word in ("layers", "hidden", "heads"))
    stacks = 2 if getattr(config, "is_encoder_decoder", False) else 1
    widths = [m.out_features for m in base_model(model).modules() if isinstance(m, nn.Linear)]
    return layers * stacks, hidden, heads, max(widths, default=4 * hidden)
