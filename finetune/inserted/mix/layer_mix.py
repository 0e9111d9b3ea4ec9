"""Scalar mix: a learned weighted sum of all layers' outputs in place of the last one's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["LayerMix"]


class LayerMix(nn.Module):
    """Scalar mix gamma * sum over j of softmax(s)_j h_j, for h_0, the input of the first layer, to h_L.

    Initialized to the mean of all layers: s is 0, gamma 1. A child of the last block, it is also a hook: before each
    pass of the module that runs the blocks, and after every block.

    Args:
        layers: how many layers run; one block may run for several.
        device: where its parameters are.

    References:
        Peters et al. 2018, arXiv 1802.05365, equation 1.
    """

    def __init__(self, layers: int, device: torch.device):
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(layers + 1, device=device))
        self.gamma = nn.Parameter(torch.ones((), device=device))
        self.seen: list[Tensor] = []
        self.given: Sequence[Tensor] | None = None
        """What is mixed instead of what this pass gives; of a cache."""
        self.recorded: list[Tensor] | None = None
        """Where it is a list, what the last pass gave."""

    @property
    def shares(self) -> Tensor:
        """Of each layer, all together 1."""
        return self.weights.softmax(0)

    def mixed(self, layers: Sequence[Tensor]) -> Tensor:
        shares = self.shares.unbind()
        total = torch.stack([share * layer.float() for share, layer in zip(shares, layers, strict=True)]).sum(0)
        return (self.gamma * total).to(layers[0].dtype)

    def forward(self, module: nn.Module, args: Any, kwargs: Any, output: Any = None) -> Any:
        """Without an output, a pass begins; behind the last layer, its output with the mix in its place."""
        if output is None:
            self.seen = []
            return None
        if not self.seen:
            self.seen.append(args[0] if args else kwargs["hidden_states"])
        self.seen.append(output[0] if isinstance(output, tuple) else output)
        if len(self.seen) < len(self.weights):
            return None
        layers, self.seen = self.seen, []
        if self.recorded is not None:
            self.recorded = layers
        mixed = self.mixed(layers if self.given is None else self.given)
        return (mixed, *output[1:]) if isinstance(output, tuple) else mixed
