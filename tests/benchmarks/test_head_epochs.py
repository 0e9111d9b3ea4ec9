"""An epoch on a head's cached vectors takes at most a twentieth of an epoch of full fine-tuning."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from torch import nn

from compress.core.fit.hooks import Hook
from compress.core.fit.plan import TrainPlan
from finetune.cached.features import CachedFeatures
from finetune.context import make_context
from finetune.method import only_trained
from finetune.parameters.names import head_names
from finetune.tasks.text_classification import TextClassification
from tests.finetune.conftest import write_rows
from tests.tiny import tiny_bundle, tiny_rows

pytestmark = pytest.mark.benchmark
ROWS, BATCH = 320, 32


class Clock(Hook):
    """The processor's seconds when each step began: what else the machine does counts little."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def before_step(self, model: nn.Module, progress: float) -> None:
        self.times.append(time.process_time())


def test_an_epoch_after_the_first(tmp_path: Path) -> None:
    write_rows(tmp_path / "train.jsonl", tiny_rows(ROWS * 20 // 19))
    write_rows(tmp_path / "test.jsonl", tiny_rows(20, seed=1))
    task = TextClassification(data=str(tmp_path), max_length=64)
    ctx = make_context(task, task.load(0), seed=0, device=torch.device("cpu"), scratch=None)
    # The shape of MiniLM-L6, on rows of some ten tokens: the shortest that a task is likely to have.
    sizes = {"vocab_size": 30522, "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12}
    bundle = tiny_bundle("bert", **sizes, intermediate_size=1536)
    plan = TrainPlan(epochs=2, batch_size=BATCH, precision="fp32")
    full, head = Clock(), Clock()
    names = head_names(bundle)
    cached = bundle.copy()
    objective = CachedFeatures(cached, names, ctx)
    ctx.fit(bundle, ctx.task_objective(), plan, hooks=[full])
    with only_trained(cached.model, names):
        ctx.fit(cached, objective, plan, hooks=[head])
    steps = len(full.times) // 2
    ratio = (full.times[-1] - full.times[steps]) / (head.times[-1] - head.times[steps])
    print(f"an epoch of full fine-tuning takes {ratio:.0f} times as long as one of the head")
    assert ratio >= 20
