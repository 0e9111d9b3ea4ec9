"""Training through `finetune` costs at most a twentieth more than a bare PyTorch loop over the same batches."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from compress.core.fit.hooks import Hook
from compress.core.fit.plan import TrainPlan
from compress.core.model.bundle import Bundle
from finetune.batching.batches import Batches
from finetune.batching.sampler import grouped_order
from finetune.tasks.task import Splits
from finetune.tasks.text_classification import TextClassification
from finetune.training.fit import make_fit
from tests.finetune.conftest import write_rows
from tests.tiny import tiny_bundle, tiny_rows

pytestmark = pytest.mark.benchmark
CPU = torch.device("cpu")
STEPS, ROUNDS, BATCH = 10, 9, 32
PLAN = TrainPlan(max_steps=STEPS, batch_size=BATCH, precision="fp32", warmup=0.0, schedule="constant")


class Clock(Hook):
    """When each step began."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def before_step(self, model: nn.Module, progress: float) -> None:
        self.times.append(time.perf_counter())


def bare_loop(bundle: Bundle, task: Any, batches: Batches, order: np.ndarray) -> np.ndarray:
    """Seconds of each step of what anyone would write: the same batches, optimiser, clipping and schedule."""
    model = bundle.model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    times = []
    for step in range(STEPS):
        batch = batches(order[step * BATCH : (step + 1) * BATCH])
        times.append(time.perf_counter())
        task.objective(model, batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return np.diff(times)


def through_fit(bundle: Bundle, task: Any, splits: Splits) -> np.ndarray:
    clock = Clock()
    make_fit(task, splits, seed=0, device=CPU)(bundle, task.objective, PLAN, hooks=[clock])
    return np.diff(clock.times)


def test_overhead_over_a_bare_loop(tmp_path: Path) -> None:
    write_rows(tmp_path / "train.jsonl", tiny_rows(STEPS * BATCH * 2))
    write_rows(tmp_path / "test.jsonl", tiny_rows(20, seed=1))
    task = TextClassification(data=str(tmp_path), max_length=64)
    splits = task.load(0)
    # The shape of MiniLM-L6; its large vocabulary is in the optimiser's step.
    sizes = {"vocab_size": 30522, "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12}
    bundle = tiny_bundle("bert", **sizes, intermediate_size=1536)
    batches = Batches(bundle, task, splits.train)
    order = grouped_order(batches.lengths, batch_size=BATCH, seed=0)
    bare, fit = [], []
    for turn in range(ROUNDS):
        runs = [
            lambda: bare.append(bare_loop(bundle.copy(), task, batches, order)),
            lambda: fit.append(through_fit(bundle.copy(), task, splits)),
        ]
        for run in runs if turn % 2 else reversed(runs):
            run()
    # Both see the same batches in the same order, so each step has its fellow; the fastest of the rounds is the one
    # that the machine disturbed least. The first step warms up.
    ratio = np.min(fit, axis=0)[1:].sum() / np.min(bare, axis=0)[1:].sum()
    print(f"\na step through fit: {np.min(fit, 0)[1:].mean():.4f} s, {ratio:.3f} of a bare loop's")
    assert ratio <= 1.05
