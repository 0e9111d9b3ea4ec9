"""Bottleneck adapter: down-projection, activation, up-projection."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from compress.core.model.precision import autocasts

__all__ = ["Activation", "Bottleneck"]

Activation = Literal["gelu", "relu", "silu", "tanh"]
ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU, "tanh": nn.Tanh}


class Bottleneck(nn.Module):
    """Bottleneck adapter, scaling * up(activation(down(x))), without the residual, which differs between placements.

    Args:
        size: features of its input and output.
        width: bottleneck size.
        activation: function between the two projections.
        owner: name of the method that inserted it, by which its parameters are found again.
        init_std: standard deviation of the truncated normal start of both projections, cut at two of them; None starts
            as LoRA does, the way down uniform (Kaiming) and the way up zero. Biases are zero.
        scaling: a constant factor of the result.
        device: where it lives; the numbers are fp32 whatever the base is stored in.
    """

    def __init__(
        self,
        size: int,
        width: int,
        *,
        activation: Activation,
        owner: str,
        init_std: float | None,
        scaling: float = 1.0,
        device: torch.device | None = None,
    ):
        super().__init__()
        self.owner, self.scaling = owner, scaling
        self.down = nn.Linear(size, width, device=device, dtype=torch.float32)
        self.activation = ACTIVATIONS[activation]()
        self.up = nn.Linear(width, size, device=device, dtype=torch.float32)
        self._start(init_std)

    def forward(self, x: Tensor) -> Tensor:
        if not autocasts(x.device):
            x = x.to(self.down.weight.dtype)
        found: Tensor = self.up(self.activation(self.down(x)))
        return found if self.scaling == 1.0 else found * self.scaling

    def _start(self, std: float | None) -> None:
        if std is None:
            nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
            nn.init.zeros_(self.up.weight)
        else:
            for linear in (self.down, self.up):
                nn.init.trunc_normal_(linear.weight, std=std, a=-2 * std, b=2 * std)
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.bias)
