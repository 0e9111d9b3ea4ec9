"""Callbacks around the Trainer's steps: hooks, early stops, checkpoints. Imports transformers; import it late."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from torch import nn
from transformers import TrainerCallback

from finetune.processes import ALONE, Processes
from finetune.training.checkpoints import Checkpointing
from finetune.training.hooks import EarlyStop

if TYPE_CHECKING:
    from finetune.training.trainer import HookedTrainer

__all__ = ["EpochEnds", "Saves", "Steps"]


class Steps(TrainerCallback):
    """Runs the hooks around each optimiser step."""

    def __init__(self, trainer: HookedTrainer):
        self.trainer = trainer

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        for hook in self.trainer.hooks:
            hook.before_step(self.trainer.trained, self.trainer.progress)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        for hook in self.trainer.hooks:
            hook.after_step(self.trainer.trained, self.trainer.progress)


class EpochEnds(TrainerCallback):
    """Scores the model at the end of an epoch and stops where it no longer gains."""

    def __init__(self, early: EarlyStop, model: nn.Module):
        self.early, self.model = early, model

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        if self.early.end_of_epoch(self.model):
            control.should_training_stop = True
        return control


class Saves(TrainerCallback):
    """Asks for a checkpoint by the main process's time. None at the end: there the finished fit is kept instead."""

    def __init__(self, when: Checkpointing, processes: Processes = ALONE):
        self.when, self.processes, self.last = when, processes, time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        return self._ask(state, control, self.when.seconds)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        return self._ask(state, control, self.when.seconds_at_epoch_end)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.last = time.monotonic()

    def _ask(self, state: Any, control: Any, seconds: float) -> Any:
        over = control.should_training_stop or state.global_step >= state.max_steps
        control.should_save = self.processes.told(not over and time.monotonic() - self.last >= seconds)
        return control
