"""Training hooks: before a step, after backward and after a step."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

__all__ = ["Hook"]


class Hook:
    """Training hook. Subclass and override what is needed; every method does nothing by default.

    `before_step` runs before the forward pass of each optimiser step, `after_backward` on unclipped gradients,
    `after_step` when the weights are updated. `progress` is the share of all optimiser steps done, from 0 to 1.
    """

    def before_step(self, model: nn.Module, progress: float) -> None: ...

    def after_backward(self, model: nn.Module, progress: float) -> None: ...

    def after_step(self, model: nn.Module, progress: float) -> None: ...

    def state_dict(self) -> Mapping[str, Tensor]:
        """State that is saved with each checkpoint, for resume."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None: ...
