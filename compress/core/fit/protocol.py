"""Protocols of training: the objective, and the fit that minimises it.

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

__all__ = ["CURVE_POINTS", "NO_LABEL", "Fit", "FitResult", "Objective", "Texts", "last_stretch", "trained_parameters"]

CURVE_POINTS = 20
"""Points of a loss curve, each the mean over an equal stretch of the steps."""


class Objective(Protocol):
    """Training objective: the loss of the task, of a distillation, a sum of losses."""

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        """The loss, a scalar, averaged over the rows of the batch."""
        ...


@dataclass(frozen=True)
class FitResult:
    """Result of a fit.

    Attributes:
        steps: of the optimiser.
        seconds: of wall time.
        trained_parameters: their number.
        loss: at the end: the last point of the loss curve.
        notes: facts for the report.
        losses: the loss curve: means over intervals of equal length.
    """

    steps: int
    seconds: float
    trained_parameters: int
    loss: float
    notes: Mapping[str, Any] = field(default_factory=dict)
    losses: tuple[float, ...] = ()


def last_stretch(steps: int) -> int:
    """How many of the last steps the end of a loss curve is the mean of."""
    return max(1, steps // CURVE_POINTS)


NO_LABEL = -100
"""The label of a row that has none."""


@dataclass(frozen=True)
class Texts:
    """Raw training rows in place of the task's: one text or two each, with a label."""

    rows: tuple[tuple[str, ...], ...]
    labels: tuple[int, ...]


class Fit(Protocol):
    """Training entry; `finetune.training.fit.fit` is the implementation."""

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
        """Train `bundle.model` in place; parameters with `requires_grad=False` stay bit-identical, and masks are held.

        Args:
            bundle: the model.
            objective: what is minimised.
            plan: the complete plan.
            name: tells the fits of one stage apart, for resume.
            hooks: run before and after each step.
            rates: name of a parameter -> its own learning rate, relative to the plan's.
            seed: of the order of the rows and of dropout; the run's unless given.
            texts: raw rows in place of *train*.
        """
        ...


def trained_parameters(model: nn.Module) -> int:
    """Number of trainable parameters; a shared tensor counts once."""
    return sum(p.numel() for p in set(model.parameters()) if p.requires_grad)
