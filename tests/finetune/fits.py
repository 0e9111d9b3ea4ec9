"""Short fits of a tiny model, and hooks that look into them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from compress.core.fit.hooks import Hook
from compress.core.fit.plan import TrainPlan
from finetune.tasks.task import Splits
from finetune.tasks.text_classification import TextClassification
from finetune.training.checkpoints import Checkpointing
from finetune.training.fit import make_fit
from tests.tiny import tiny_bundle

PLAN = TrainPlan(epochs=2, batch_size=8, learning_rate=1e-3, precision="fp32")
ONE_EPOCH = PLAN.model_copy(update={"epochs": 1.0})
CPU = torch.device("cpu")
EVERY_STEP = Checkpointing(seconds=0, seconds_at_epoch_end=0)


class Interrupted(Exception):
    """Stands for a kill."""


class StopAfter(Hook):
    """Raises when `steps` steps are done."""

    def __init__(self, steps: int):
        self.steps, self.done = steps, 0

    def before_step(self, model: nn.Module, progress: float) -> None:
        if self.done == self.steps:
            raise Interrupted
        self.done += 1


class Sums(Hook):
    """Adds up the gradients of one weight: a state that an interruption must not lose."""

    def __init__(self) -> None:
        self.total = torch.zeros(())

    def after_backward(self, model: nn.Module, progress: float) -> None:
        gradient = model.classifier.weight.grad
        self.total = self.total + gradient.abs().sum()

    def state_dict(self) -> Mapping[str, Tensor]:
        return {"total": self.total}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.total = state["total"]


def same_bits(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def fitted(
    task: TextClassification, splits: Splits, plan: TrainPlan = PLAN, *, hooks: Any = (), **settings: Any
) -> Any:
    bundle = tiny_bundle("bert", num_hidden_layers=2)
    result = make_fit(task, splits, seed=0, device=CPU, **settings)(bundle, task.objective, plan, hooks=hooks)
    return bundle, result
