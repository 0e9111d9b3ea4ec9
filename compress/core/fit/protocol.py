"""The protocols of training: the objective, and the fit that minimises it.

`compress` has no optimiser for weights and loads no data. A method that needs training is handed a `Fit`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor, nn

from compress.core.fit.hooks import Hook
from compress.core.fit.plan import NO_RATES, Rate, TrainPlan
from compress.core.model.evaluation import Batch

if TYPE_CHECKING:
    from compress.core.model.bundle import Bundle

__all__ = ["NO_LABEL", "Fit", "FitResult", "Objective", "Texts", "trained_parameters"]


class Objective(Protocol):
    """What is minimised: the task, a distillation, a sum of losses."""

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        """The loss, a scalar, averaged over the rows of the batch."""
        ...


@dataclass(frozen=True)
class FitResult:
    """What a fit did.

    Attributes:
        steps: of the optimiser.
        seconds: of wall time.
        trained_parameters: how many were trained.
        loss: the last mean.
        notes: facts for the report.
        losses: means of the loss over stretches of equal length, the last of all of it.
    """

    steps: int
    seconds: float
    trained_parameters: int
    loss: float
    notes: Mapping[str, Any] = field(default_factory=dict)
    losses: tuple[float, ...] = ()


NO_LABEL = -100
"""The label of a row that has none."""


@dataclass(frozen=True)
class Texts:
    """Raw rows to train on in place of the task's: of one text, or of two; and a label for each."""

    rows: tuple[tuple[str, ...], ...]
    labels: tuple[int, ...]


class Fit(Protocol):
    """The one way to train. `finetune.training.fit.fit` is the implementation."""

    def __call__(
        self,
        bundle: Bundle,
        objective: Objective,
        plan: TrainPlan,
        *,
        name: str = "fit",
        hooks: Sequence[Hook] = (),
        rates: Mapping[str, Rate] = NO_RATES,
        seed: int | None = None,
        texts: Texts | None = None,
    ) -> FitResult:
        """Train `bundle.model` in place on the *train* part, or on `texts` where they are given; `name` tells the fits
        of one stage apart, for resume.

        `rates` names the parameters that learn at a pace of their own; the others learn at the plan's. `seed` is of the
        order of the rows and of dropout; the run's unless given.

        Parameters with `requires_grad=False` stay as they are, to the bit. Masks of the bundle are held.
        """
        ...


def trained_parameters(model: nn.Module) -> int:
    """How many parameters receive gradients; a shared tensor counts once."""
    return sum(p.numel() for p in set(model.parameters()) if p.requires_grad)
