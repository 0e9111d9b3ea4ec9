"""Adam for the scores of movement pruning."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from compress.prune.weights.mask import starting

__all__ = ["ScoreAdam"]


class ScoreAdam:
    """`torch.optim.Adam`, one for each matrix: so one gradient of scores is held at a time, and not that of all."""

    def __init__(self) -> None:
        self._optimizers: dict[str, torch.optim.Adam] = {}

    def step(
        self, name: str, scores: Float[Tensor, "..."], gradient: Float[Tensor, "..."], *, learning_rate: float
    ) -> None:
        """One step on the scores of a matrix, in place.

        Args:
            name: of the matrix.
            scores: the same tensor at each step.
            gradient: dL/dS.
            learning_rate: of this step.
        """
        if name not in self._optimizers:
            self._optimizers[name] = torch.optim.Adam([scores])
        optimizer = self._optimizers[name]
        optimizer.param_groups[0]["lr"] = learning_rate
        scores.grad = gradient
        optimizer.step()
        scores.grad = None

    def clear(self) -> None:
        """Forget all moments."""
        self._optimizers = {}

    def state_dict(self) -> dict[str, Tensor]:
        """The moments and the number of steps of each matrix."""
        found: dict[str, Tensor] = {}
        for name, optimizer in self._optimizers.items():
            (state,) = optimizer.state.values()
            found[f"moments.{name}"] = torch.stack([state["exp_avg"], state["exp_avg_sq"]])
            found[f"steps.{name}"] = state["step"]
        return found

    def load_state_dict(self, state: Mapping[str, Tensor], scores: Mapping[str, Tensor], *, steps: Tensor) -> None:
        """What `state_dict` gave.

        Args:
            state: tensors by name; others than its own are passed over.
            scores: of the matrices, where they are learned further.
            steps: done with every matrix, where the state does not count them.
        """
        self._optimizers = {}
        for name, moments in starting("moments.", state).items():
            optimizer = self._optimizers[name] = torch.optim.Adam([scores[name]])
            done = state.get(f"steps.{name}", steps).float()
            found = {"step": done, "exp_avg": moments[0], "exp_avg_sq": moments[1]}
            optimizer.load_state_dict({**optimizer.state_dict(), "state": {0: found}})
