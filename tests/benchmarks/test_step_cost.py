"""What a training step of every method costs beside one of full fine-tuning, in CPU time: a busy machine may do.

`pytest -n 0 -s -m benchmark tests/benchmarks/test_step_cost.py` prints the table.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from compress.core.fit.hooks import Hook
from compress.core.fit.plan import TrainPlan
from compress.core.fit.protocol import FitResult
from compress.core.model.bundle import Bundle
from compress.core.stage.context import Context
from finetune.context import make_context
from finetune.method import Method
from finetune.stage import Finetune
from finetune.tasks.text_classification import TextClassification
from tests.finetune.conftest import write_rows
from tests.tiny import tiny_bundle

pytestmark = pytest.mark.benchmark
STEPS, ROUNDS, ROWS, LENGTH = 8, 3, 32, 32
MINILM = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
STORED = ("bitfit", "lora", "houlsby")
FEW = sorted(set(Method.members()) - {"full", "head"})
CASES = [("full", "fp32"), *((name, "fp32") for name in FEW), *((m, b) for m in STORED for b in ("int8", "nf4"))]


class Clock(Hook):
    """CPU seconds at the start of each step, all threads together."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def before_step(self, model: nn.Module, progress: float) -> None:
        self.times.append(time.process_time())


def context(directory: Path) -> Context:
    rows = [{"text": "good film bad film " * 16 + str(number), "label": number % 2} for number in range(ROWS * STEPS)]
    write_rows(directory / "train.jsonl", rows)
    write_rows(directory / "test.jsonl", [{**row, "text": f"test {row['text']}"} for row in rows[:16]])
    task = TextClassification(data=str(directory), max_length=LENGTH)
    return make_context(task, task.load(0), seed=0, device=torch.device("cpu"), scratch=None)


def seconds(method: str, base: str, ctx: Context) -> np.ndarray:
    """CPU seconds of each step but the first, which warms up."""
    clock = Clock()

    def timed(bundle: Bundle, *given: Any, hooks: tuple[Hook, ...] = (), **more: Any) -> FitResult:
        return ctx.fit(bundle, *given, hooks=(*hooks, clock), **more)

    stage = Finetune(method=Method.parse(method), base=base, train=TrainPlan(max_steps=STEPS, batch_size=ROWS))
    stage.run(tiny_bundle("bert", vocab_size=30_522, **MINILM), replace(ctx, fit=timed))
    return np.diff(clock.times)[1:]


def test_a_step_of_few_parameters_costs_no_more_than_one_of_all(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    found = {case: [] for case in CASES}
    for turn in range(ROUNDS):
        for case in CASES if turn % 2 else reversed(CASES):
            found[case].append(seconds(*case, ctx))
    # Every round sees the same batches; the fastest is the one that the machine disturbed least.
    costs = {case: np.min(times, axis=0).mean() for case, times in found.items()}
    full = costs["full", "fp32"]
    print("\n| method | base | CPU seconds of a step | of full |\n| --- | --- | ---: | ---: |")
    for (method, base), cost in costs.items():
        print(f"| {method} | {base} | {cost:.3f} | {cost / full:.2f} |")
    assert costs["bitfit", "fp32"] < full and costs["layer_norm", "fp32"] < full
