"""Fine-tuning methods: which parameters are trained, and what is inserted into the model for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from torch import nn

from compress.core.choice import Choice
from compress.core.errors import InputError
from compress.core.fit.plan import DEFAULT_PLAN, TrainPlan
from compress.core.fit.protocol import FitResult
from compress.core.model.bundle import Bundle
from compress.core.model.change import Change, Nothing
from compress.core.model.sketch import Sketch
from compress.core.model.state import State
from compress.core.stage.context import Context
from compress.core.stage.task import TaskView

__all__ = ["Method", "only_trained"]


class Method(Choice):
    """Fine-tuning method. A member names the parameters that are trained; it may also add some."""

    home: ClassVar[str] = "finetune.methods"
    default_plan: ClassVar[TrainPlan] = DEFAULT_PLAN
    """Defaults of the training plan for this method."""
    whole: ClassVar[bool] = False
    """Whether every weight may be trained, so that the result is saved whole and not as a delta on its base."""

    @property
    def freezes(self) -> bool:
        """Whether some trained parameters are frozen for a part of the training."""
        return False

    def plan(self) -> TrainPlan:
        """The complete plan for a recipe that gives none; `default_plan` unless the settings matter."""
        return self.default_plan

    def change(self, sketch: Sketch) -> Change:
        """What the method adds to the model before training, on the meta device too; nothing unless overridden."""
        return Nothing()

    def left(self, sketch: Sketch) -> Change:
        """What stays of `change` in the finished model; all of it unless `finish` takes a part out again."""
        return self.change(sketch)

    def uncertain(self, sketch: Sketch) -> str | None:
        """What only the training decides of the size, in words for `check`, or None."""
        return None

    def check_task(self, bundle: Bundle, task: TaskView | None) -> None:
        """Raise `InputError` where such a model, as changed, cannot be tuned on the task's rows; before any work."""

    def prepare(self, bundle: Bundle, ctx: Context) -> Bundle:
        """The bundle with what the method adds to it and no Change can say; itself unless overridden."""
        return bundle

    def trainable(self, bundle: Bundle) -> frozenset[str]:
        """The names of the parameters that move, as `model.named_parameters()` gives them."""
        raise NotImplementedError

    def fit(self, bundle: Bundle, ctx: Context, plan: TrainPlan, name: str) -> FitResult:
        """Train the bundle in place; the task's own objective unless overridden."""
        return ctx.fit(bundle, ctx.task_objective(), plan, name=name)

    def finish(self, bundle: Bundle, ctx: Context) -> Bundle:
        """The bundle after training; itself unless overridden."""
        return bundle

    def cached_bytes(self, bundle: Bundle, rows: int) -> int | None:
        """Bytes of the frozen base's cached features, where it runs once and only the layers after it are trained.

        None, unless overridden, where the whole model runs in every step.
        """
        return None

    def forbids(self, sketch: Sketch) -> frozenset[State]:
        """States of a model that it cannot tune, besides `adapted` and `quantized`."""
        return frozenset()

    def refuses(self, sketch: Sketch) -> str | None:
        """Why it cannot tune such a model, for other reasons than its states; or None."""
        return None


@contextmanager
def only_trained(model: nn.Module, names: frozenset[str]) -> Iterator[None]:
    """Context in which the parameters `names` receive gradients and no other does.

    Args:
        model: whose `requires_grad` are set, and restored afterwards.
        names: as `model.named_parameters()` gives them.

    Raises:
        InputError: `names` is empty: there is nothing to train.
    """
    if not names:
        raise InputError("the method leaves no parameter to train", advice="choose another method")
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in names)
    try:
        yield
    finally:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(before.get(name, parameter.requires_grad))
