"""What a method may say about training, without training: the plan, the protocols, the one way to recover.

`compress` has no optimiser and loads no data. A method that needs training is handed a `Fit`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError
from torch import Tensor, nn

from compress.core.errors import InputError
from compress.core.training.arguments import check_names
from compress.core.values import Count, Fraction, FrozenMapping, Positive, Settings

if TYPE_CHECKING:
    from compress.core.model.bundle import Bundle

__all__ = [
    "DEFAULT_PLAN",
    "NO_LABEL",
    "NO_RATES",
    "Batch",
    "Fit",
    "FitResult",
    "Hook",
    "Objective",
    "Rate",
    "Texts",
    "TrainPlan",
    "default_device",
    "trained_parameters",
]

Batch = dict[str, Tensor]
"""One encoded batch: the model's inputs, `labels` (batch,) and `row_id` (batch,) int64."""


class TrainPlan(Settings):
    """How long and how fast to train. What is left out is the method's own default, then `DEFAULT_PLAN`."""

    epochs: Positive | None = None
    max_steps: Count | None = Field(None, description="stop after so many optimiser steps; overrides epochs")
    learning_rate: Positive | None = None
    batch_size: Count | None = Field(None, description="rows per step and device")
    accumulation: Count | None = Field(None, description="batches whose gradients are summed before a step")
    schedule: Literal["linear", "cosine", "constant", "slanted_triangle"] | None = None
    warmup: Fraction | None = Field(None, description="share of the steps with a rising learning rate")
    weight_decay: float | None = Field(None, ge=0)
    clip: Positive | None = Field(None, description="largest norm of the gradient")
    precision: Literal["auto", "fp32", "bf16"] | None = Field(
        None, description="auto: bf16 autocast where the hardware has it"
    )
    patience: Count | None = Field(None, description="stop after so many epochs without a gain on select")
    gradient_checkpointing: bool | None = None
    arguments: FrozenMapping = Field((), description="any other field of transformers.TrainingArguments")

    @field_validator("arguments")
    @classmethod
    def _known(cls, arguments: tuple[tuple[str, Any], ...]) -> tuple[tuple[str, Any], ...]:
        try:
            check_names(name for name, _ in arguments)
        except InputError as error:
            raise PydanticCustomError(
                "training_argument", "{what}; {advice}", {"what": error.what, "advice": error.advice or ""}
            ) from error
        return arguments

    def steps(self, *, rows: int, processes: int = 1) -> int:
        """Optimiser steps of the whole plan, on so many rows of train."""
        if self.max_steps is not None:
            return self.max_steps
        batches = ceil(rows / ((self.batch_size or 1) * processes))
        return ceil((self.epochs or 0) * max(1, ceil(batches / (self.accumulation or 1))))

    def over(self, default: TrainPlan) -> TrainPlan:
        """This plan, with what it leaves out taken from `default`."""
        given = {name: value for name, value in self if value is not None}
        given["arguments"] = tuple(sorted({**dict(default.arguments), **dict(self.arguments)}.items()))
        return default.model_copy(update=given)


DEFAULT_PLAN = TrainPlan(
    epochs=3,
    learning_rate=5e-5,
    batch_size=32,
    accumulation=1,
    schedule="linear",
    warmup=0.06,
    weight_decay=0.01,
    clip=1.0,
    precision="auto",
    gradient_checkpointing=False,
)


@dataclass(frozen=True)
class Rate:
    """How fast one parameter learns, beside the others of a fit.

    Attributes:
        scale: the plan's learning rate is multiplied by it.
        start: the parameter is frozen until this share of the steps is done.
        warmup: share of the steps over which its rate then rises from nothing, on top of the plan's schedule.
    """

    scale: float = 1.0
    start: float = 0.0
    warmup: float = 0.0

    def factor(self, progress: float) -> float:
        """What the scheduled rate is multiplied by when the share `progress` of the steps is done."""
        since = progress - self.start
        if since < -CLOSE:
            return 0.0
        return min(1.0, max(0.0, since) / self.warmup) if self.warmup else 1.0

    def joined(self, progress: float) -> bool:
        """Whether the parameter moves by now."""
        return progress >= self.start - CLOSE


CLOSE = 1e-9
"""Shares of the steps nearer than this are the same."""


class Objective(Protocol):
    """What is minimised: the task, a distillation, a sum of losses."""

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        """The loss, a scalar, averaged over the rows of the batch."""
        ...


class Hook:
    """Acts inside training. Subclass and override what is needed; every method does nothing by default.

    `before_step` runs before the forward pass of each optimiser step, `after_backward` on unclipped gradients,
    `after_step` when the weights have moved. `progress` is the share of all optimiser steps done, from 0 to 1.
    """

    def before_step(self, model: nn.Module, progress: float) -> None: ...

    def after_backward(self, model: nn.Module, progress: float) -> None: ...

    def after_step(self, model: nn.Module, progress: float) -> None: ...

    def state_dict(self) -> Mapping[str, Tensor]:
        """What must survive an interruption, saved with each checkpoint."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None: ...


@dataclass(frozen=True)
class FitResult:
    """What a fit did: optimiser steps, seconds of wall time, parameters that were trained, the last mean loss."""

    steps: int
    seconds: float
    trained_parameters: int
    loss: float
    notes: Mapping[str, Any] = field(default_factory=dict)


NO_LABEL = -100
"""The label of a row that has none."""


@dataclass(frozen=True)
class Texts:
    """Raw rows to train on in place of the task's: of one text, or of two; and a label for each."""

    rows: tuple[tuple[str, ...], ...]
    labels: tuple[int, ...]


NO_RATES: Mapping[str, Rate] = MappingProxyType({})


class Fit(Protocol):
    """The one way to train. `finetune.fit.fit.fit` is the implementation."""

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


def default_device(choice: str = "auto") -> torch.device:
    """`auto`: the GPU when there is one."""
    return torch.device(
        "cuda" if choice == "auto" and torch.cuda.is_available() else "cpu" if choice == "auto" else choice
    )
