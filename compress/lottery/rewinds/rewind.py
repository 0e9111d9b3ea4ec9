"""Rewinding: which weights each round of iterative magnitude pruning begins with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from compress.core.choice import Choice
from compress.core.errors import InputError
from compress.core.fit.hooks import Hook
from compress.core.fit.plan import TrainPlan
from compress.core.stage.task import TaskView
from compress.lottery.search import State, state_of

__all__ = ["Caught", "Rewind", "check_steps"]


class Rewind(Choice):
    """The weights that a model is rewound to after each round; optimiser and schedule are new in every round."""

    home: ClassVar[str] = "compress.lottery.rewinds"
    goes_back: ClassVar[bool] = True
    """Whether the weights go back; else every round goes on from those of the last."""

    def watch(self) -> Caught | None:
        """A hook on the first training, the full model's, that catches the weights to go back to; None: no need."""
        return None

    def check_steps(self, steps: int) -> str | None:
        """Why it cannot work with trainings of so many optimiser steps, or None."""
        return None


def check_steps(rewind: Rewind, plan: TrainPlan, task: TaskView | None) -> None:
    """Raise `InputError` where the training is too short for the rewinding."""
    why = rewind.check_steps(plan.steps(rows=task.train_rows())) if task else None
    if why:
        raise InputError(why, given=rewind.recipe_form(), advice="choose an earlier step, or train for longer")


class Caught(Hook):
    """Every tensor of the model as it is after `step` optimiser steps; survives an interruption."""

    def __init__(self, step: int):
        self.step, self.done = step, 0
        self.state: State = {}

    def after_step(self, model: nn.Module, progress: float) -> None:
        self.done += 1
        if self.done == self.step:
            self.state = {name: tensor.cpu() for name, tensor in state_of(model).items()}

    def state_dict(self) -> Mapping[str, Tensor]:
        return {"done": torch.tensor(self.done), **{f"at.{name}": tensor for name, tensor in self.state.items()}}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.done = int(state["done"])
        self.state = {name.removeprefix("at."): tensor for name, tensor in state.items() if name.startswith("at.")}
