"""Training plan: epochs, learning rate, schedule, batch size, and learning rates by parameter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from compress.core.errors import InputError
from compress.core.fit.arguments import check_arguments
from compress.core.values import Count, Fraction, FrozenMapping, Positive, Settings

__all__ = ["DEFAULT_PLAN", "NO_RATES", "Rate", "TrainPlan"]


class TrainPlan(Settings):
    """Training plan: AdamW's steps, rates and batches.

    A setting that is left out is the stage's or the method's own default, which `trimformer show` names with it, as in
    `trimformer show lora`; and else the default of this list.
    """

    epochs: Annotated[Positive, Field(le=1e6)] | None = Field(None, description="passes over train; 0.5 is half of one")
    max_steps: Count | None = Field(None, description="stop after so many optimiser steps; overrides epochs")
    learning_rate: Positive | None = Field(None, description="peak of the schedule, of AdamW")
    batch_size: Count | None = Field(None, description="rows in a batch; the processes of a launcher divide them")
    accumulation: Count | None = Field(None, description="batches whose gradients are summed before a step")
    schedule: Literal["linear", "cosine", "constant", "slanted_triangle"] | None = Field(
        None, description="course of the learning rate after the warmup"
    )
    warmup: Fraction | None = Field(None, description="share of the steps with a rising learning rate")
    weight_decay: float | None = Field(None, ge=0, description="of AdamW, decoupled; matrices alone")
    clip: Positive | None = Field(None, description="largest norm of the gradient")
    precision: Literal["auto", "fp32", "bf16"] | None = Field(
        None, description="auto: bf16 autocast where the hardware has it"
    )
    patience: Count | None = Field(None, description="stop after so many epochs without a gain on select")
    gradient_checkpointing: bool | None = Field(
        None, description="compute activations again in the backward pass: less memory, about a third more time"
    )
    arguments: FrozenMapping = Field((), description="any other field of transformers.TrainingArguments")

    @field_validator("arguments")
    @classmethod
    def _known(cls, arguments: tuple[tuple[str, Any], ...]) -> tuple[tuple[str, Any], ...]:
        try:
            check_arguments(dict(arguments))
        except InputError as error:
            raise PydanticCustomError(
                "training_argument", "{what}; {advice}", {"what": error.what, "advice": error.advice or ""}
            ) from error
        return arguments

    @classmethod
    def usual(cls) -> TrainPlan:
        """The plan of a training that says nothing else."""
        return DEFAULT_PLAN

    def steps(self, *, rows: int) -> int:
        """Optimiser steps of the whole plan, on so many rows of train."""
        if self.max_steps is not None:
            return self.max_steps
        batches = ceil(rows / (self.batch_size or 1))
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
    """Learning rate of one parameter, relative to the plan's.

    Attributes:
        scale: factor of the plan's learning rate.
        start: the parameter is frozen until this share of the steps is done.
        warmup: share of the steps over which its rate then rises from zero, on top of the plan's schedule.
    """

    scale: float = 1.0
    start: float = 0.0
    warmup: float = 0.0

    def factor(self, progress: float) -> float:
        """Factor of the scheduled learning rate at `progress`, the share of the steps done, from 0 to 1."""
        since = progress - self.start
        if since < -CLOSE:
            return 0.0
        return min(1.0, max(0.0, since) / self.warmup) if self.warmup else 1.0

    def joined(self, progress: float) -> bool:
        """Whether the parameter is trained at `progress`."""
        return progress >= self.start - CLOSE


CLOSE = 1e-9
"""Shares of the steps nearer than this are the same."""


NO_RATES: Mapping[str, Rate] = MappingProxyType({})
