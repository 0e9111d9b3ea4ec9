"""Parent of the stages whose purpose is training: fine-tuning and distillation."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import ClassVar

from pydantic import Field, model_validator
from typing_extensions import Self

from compress.core.fit.plan import TrainPlan
from compress.core.model.change import Several
from compress.core.model.sketch import Sketch
from compress.core.model.state import State
from compress.core.stage.declaration import Declaration
from compress.core.stage.during import During
from compress.core.stage.stage import Stage

__all__ = ["Trains"]


class Trains(Stage):
    """Stage with a training plan, and optionally compression during the training."""

    last: ClassVar[tuple[str, ...]] = ("train", "during")

    train: TrainPlan = Field(TrainPlan(), description="the training plan: epochs, learning rate, batch size, ...")
    during: During | None = Field(None, description="compression during the training: `{gradual: {to: 0.9}}`")

    @model_validator(mode="after")
    def _goes_on(self) -> Self:
        why = self.hinders(self.during) if self.during else None
        if why:
            raise ValueError(why)
        return self

    @abstractmethod
    def plan(self) -> TrainPlan:
        """The complete plan."""

    def hinders(self, during: During) -> str | None:
        """Why `during` cannot take part in a training of these settings, or None."""
        return during.refuses_plan(self.plan())

    def with_during(self, declared: Declaration, sketch: Sketch) -> Declaration:
        """The declaration of the stage with that of `during` added.

        Args:
            declared: of the stage alone.
            sketch: of the model that comes in.
        """
        during, training = self.during, declared.training
        if during is None or training is None:
            return declared
        forbids = during.forbids(sketch)
        leave_out: dict[State, str] = dict.fromkeys(forbids, "leave out `during`")
        return replace(
            declared,
            refusal=declared.refusal or during.refuses(sketch),
            forbids=declared.forbids | forbids,
            otherwise={**declared.otherwise, **leave_out},
            change=Several(steps=(declared.change, during.guess())),
            remarks=(*declared.remarks, *during.remarks(sketch)),
            training=replace(training, mask_bytes=during.bytes_per_weight()),
        )
