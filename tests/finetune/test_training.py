"""The one way to train."""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from compress.core.bundle import Bundle
from compress.core.errors import InputError, NonFiniteLoss
from compress.core.training import Hook, TrainPlan
from finetune.checkpoints import Checkpointing
from finetune.tasks.task import Splits
from finetune.tasks.text_classification import TextClassification
from finetune.training import make_fit
from tests.tiny import tiny_bundle

PLAN = TrainPlan(epochs=2, batch_size=8, learning_rate=1e-3, precision="fp32")
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
    bundle = tiny_bundle("bert", labels=2, seed=0)
    result = make_fit(task, splits, seed=0, device=CPU, **settings)(bundle, task.objective, plan, hooks=hooks)
    return bundle, result


def test_training_lowers_the_loss_and_says_what_it_did(task: TextClassification, splits: Splits) -> None:
    bundle, result = fitted(task, splits, PLAN.model_copy(update={"epochs": 8.0, "learning_rate": 3e-3}))
    steps = 8 * -(-len(splits.train) // 8)
    assert result.steps == steps
    assert result.loss < 0.5 * result.notes["loss_curve"][0]
    assert result.trained_parameters == sum(p.numel() for p in bundle.model.parameters())
    assert result.notes["training_flops"] > 6 * result.notes["tokens"] * 1000
    assert not bundle.model.training


def test_one_seed_gives_the_same_bits(task: TextClassification, splits: Splits) -> None:
    (one, _), (other, _) = fitted(task, splits), fitted(task, splits)
    assert same_bits(one.model, other.model)


@pytest.mark.parametrize("stop", [5, 12, 17])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_an_interrupted_fit_ends_with_the_bits_of_an_unbroken_one(
    task: TextClassification, splits: Splits, tmp_path: Path, stop: int, accumulation: int
) -> None:
    plan = PLAN.model_copy(update={"accumulation": accumulation, "epochs": 2.0 * accumulation})
    sums, again = Sums(), Sums()
    unbroken, whole = fitted(task, splits, plan, hooks=[sums, StopAfter(10**9)])
    settings = {"directory": tmp_path, "checkpointing": EVERY_STEP}
    with pytest.raises(Interrupted):
        fitted(task, splits, plan, hooks=[Sums(), StopAfter(stop)], **settings)
    resumed, result = fitted(task, splits, plan, hooks=[again, StopAfter(10**9)], **settings)
    assert same_bits(unbroken.model, resumed.model)
    assert result.loss == whole.loss
    assert result.notes == whole.notes
    assert torch.equal(sums.total, again.total)
