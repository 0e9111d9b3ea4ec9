"""The ticket's mask with shuffled starting weights."""

from __future__ import annotations

import torch

from compress.core.model.bundle import Bundle
from compress.lottery.controls.control import Control
from compress.lottery.search import State

__all__ = ["ShuffledWeights"]


class ShuffledWeights(Control):
    """Starting weights shuffled within each pruned matrix, under the ticket's mask; all others are the ticket's.

    Chen et al. 2020, arXiv 2007.12223, section 4.
    """

    def start(self, bundle: Bundle, state: State, names: tuple[str, ...], generator: torch.Generator) -> State:
        return {name: _shuffled(tensor, generator) if name in names else tensor for name, tensor in state.items()}


def _shuffled(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    order = torch.randperm(tensor.numel(), generator=generator).to(tensor.device)
    return tensor.reshape(-1)[order].reshape(tensor.shape)
