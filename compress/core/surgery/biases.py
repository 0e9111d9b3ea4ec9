"""Adding zero biases, for families whose checkpoints have none; the outputs stay the same."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from compress.core.errors import StageFailed
from compress.core.model.bundle import Bundle
from compress.core.model.change import Change
from compress.core.model.config import built_config, stock_class
from compress.core.model.wrapping import linear_shape

__all__ = ["AddBiases", "add_biases"]


class AddBiases(Change):
    """Added biases: every linear and norm that can have one by the configuration has one; new ones are zero."""

    def apply(self, bundle: Bundle) -> Bundle:
        add_biases(bundle.model, bundle.family.bias_fields)
        return bundle


def add_biases(model: nn.Module, fields: tuple[str, ...]) -> tuple[str, ...]:
    """Set fields of the configuration, and add the biases that the stock model then has, in place.

    Args:
        model: of a family with such fields.
        fields: of the configuration, which are set to True.

    Returns:
        Names of the new parameters.

    Raises:
        StageFailed: the fields add more than biases.
    """
    config: Any = model.config
    for field in fields:
        setattr(config, field, True)
    with torch.device("meta"):
        twin = stock_class(model)(built_config(model))
    have = dict(model.named_parameters())
    added = tuple(name for name, _ in twin.named_parameters() if name not in have)
    for name in added:
        owner, _, attribute = name.rpartition(".")
        if attribute != "bias":
            raise StageFailed(f"{', '.join(fields)} bring more than biases", given=name)
        module: Any = model.get_submodule(owner)
        module.bias = nn.Parameter(torch.zeros(_width(module), device=module.weight.device))
    return added


def _width(module: Any) -> int:
    """Outputs of the module, which are not the stock model's after pruning, nor the shape of a packed weight."""
    return linear_shape(module)[0] if isinstance(module, nn.Linear) else module.weight.shape[0]
