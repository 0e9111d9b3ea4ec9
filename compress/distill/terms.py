"""Terms of a summed loss over a training, for the report."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from compress.core.fit.protocol import last_stretch

__all__ = ["Terms"]

TOGETHER = 64
"""Batches whose terms are one tensor: a small tensor of a GPU takes half a kilobyte."""


class Terms:
    """Weighted terms of a loss, batch by batch, and their means at the end of the training.

    The means are over the same last steps as the loss of the fit, so that they add up to it.

    Args:
        count: of the terms.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.batches = 0
        self._kept: list[Tensor] = []
        self._recent: list[Tensor] = []

    def add(self, terms: Float[Tensor, " terms"]) -> None:
        """The terms of one batch; they wait on their device."""
        self._recent.append(terms.detach())
        self.batches += 1
        if len(self._recent) == TOGETHER:
            self._kept.append(torch.stack(self._recent))
            self._recent = []

    def state(self) -> Float[Tensor, "batches terms"]:
        """The terms of all batches, on the CPU."""
        parts = [*self._kept, *([torch.stack(self._recent)] if self._recent else [])]
        return torch.cat([part.cpu() for part in parts]) if parts else torch.empty(0, self.count)

    def restore(self, state: Float[Tensor, "batches terms"]) -> None:
        """Take up what `state` gave, in place of what is there."""
        self._kept, self._recent, self.batches = [state], [], len(state)

    def means(self, steps: int) -> list[float]:
        """The mean of each term over the last steps; empty where there were no batches.

        Args:
            steps: of the optimiser, in the whole training.
        """
        if not self.batches:
            return []
        last = max(1, round(self.batches / max(1, steps) * last_stretch(steps)))
        return [round(mean, 5) for mean in self.state()[-last:].double().mean(0).tolist()]
