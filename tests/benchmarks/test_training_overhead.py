"""Training through `finetune` costs at most a twentieth more than a bare PyTorch loop over the same batches."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from compress.core.bundle import Bundle
from compress.core.training import Hook, TrainPlan
from finetune.batches import Batches
from finetune.sampler import grouped_order
from finetune.tasks.task import Splits
from finetune.tasks.text_classification import TextClassification
from finetune.training import make_fit
from tests.finetune.conftest import write_rows
from tests.tiny import tiny_bundle, tiny_rows

pytestmark = pytest.mark.benchmark
CPU = torch.device("cpu")
STEPS, ROUNDS, BATCH = 10, 9, 32
PLAN = TrainPlan(max_steps=STEPS, batch_size=BATCH, precision="fp32", warmup=0.0, schedule="constant")


class Clock(Hook):
    """The seconds from the start of the second step to the end of the last: the first warms up."""

    def __init__(self) -> None:
        self.started = self.ended = 0.0
        self.steps = 0

    def before_step(self, model: nn.Module, progress: float) -> None:
        self.steps += 1
        if self.steps == 2:
            self.started = time.perf_counter()

    def after_step(self, model: nn.Module, progress: float) -> None:
        self.ended = time.perf_counter()


def bare_loop(bundle: Bundle, task: Any, batches: Batches, order: torch.Tensor) -> float:
    """What anyone would write: the same batches, optimiser, clipping and schedule."""
    model = bundle.model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    started = 0.0
    for step in range(STEPS):
        if step == 1:
            started = time.perf_counter()
        batch = batches(order[step * BATCH : (step + 1) * BATCH])
        task.objective(model, batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return time.perf_counter() - started


def through_fit(bundle: Bundle, task: Any, splits: Splits) -> float:
    clock = Clock()
    make_fit(task, splits, seed=0, device=CPU)(bundle, task.objective, PLAN, hooks=[clock])
    return clock.ended - clock.started


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
    ratios = []
    for turn in range(ROUNDS):
        runs = [
            lambda: bare_loop(bundle.copy(), task, batches, order),
            lambda: through_fit(bundle.copy(), task, splits),
        ]
        times = [run() for run in (runs if turn % 2 else runs[::-1])]
        bare, fit = times if turn % 2 else times[::-1]
        ratios.append(fit / bare)
    ratio = statistics.median(ratios)
    print(f"\nfit over a bare loop: {ratio:.3f} (median of {ROUNDS}, {min(ratios):.3f} to {max(ratios):.3f})")
    assert ratio <= 1.05
