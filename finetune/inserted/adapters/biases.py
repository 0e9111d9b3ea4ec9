"""Zero biases for families whose linears have none, and whose configuration can give them none (T5)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from compress.core.families.family import has
from compress.core.model.bundle import Bundle
from compress.core.model.wrapping import linear_shape, put, unwrapped
from finetune.inserted.insertion import Insertion

__all__ = ["AddZeroBiases", "Biased"]

ROLES = ("query", "key", "value", "output", "up", "gate", "down")


class Biased(nn.Module):
    """Linear with an added bias, zero at first; added apart, since a linear with a bias runs another kernel."""

    def __init__(self, base_layer: nn.Module):
        super().__init__()
        self.base_layer = base_layer
        device = next(base_layer.parameters()).device
        self.bias = nn.Parameter(torch.zeros(linear_shape(base_layer)[0], device=device))

    # T5 reads the dtype of a linear's weight before it calls the linear.
    @property
    def weight(self) -> Any:
        return self.base_layer.weight

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.base_layer(x)
        return y + self.bias.to(y.dtype)


class AddZeroBiases(Insertion):
    """Zero bias for every linear of the family's blocks that has none. Norms stay as they are.

    Merged, the biases are the linears' own, and the model is saved as one that its stock class cannot express.
    """

    keeps_zeros: ClassVar[bool] = True

    def apply(self, bundle: Bundle) -> Bundle:
        for linear in _linears(bundle):
            if getattr(linear, "bias", None) is None:
                put(bundle.model, linear, Biased(linear))
        bundle.states = bundle.states | {"adapted"}
        return bundle

    def inserted(self, bundle: Bundle) -> frozenset[str]:
        modules = bundle.model.named_modules()
        return frozenset(f"{path}.bias" for path, module in modules if isinstance(module, Biased))

    def merge(self, bundle: Bundle) -> None:
        for module in [module for module in bundle.model.modules() if isinstance(module, Biased)]:
            linear: Any = unwrapped(module)
            linear.bias = nn.Parameter(module.bias.detach().to(linear.weight.dtype), requires_grad=False)
            put(bundle.model, module, module.base_layer)


def _linears(bundle: Bundle) -> list[nn.Module]:
    """The linears of all blocks, each once."""
    family = bundle.family
    found = [
        family.part(block, role)
        for block in family.module_list(bundle.model)
        for role in ROLES
        if getattr(family, role) and has(block, family.path(block, role))
    ]
    return list(dict.fromkeys(found))
