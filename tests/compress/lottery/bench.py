"""Contexts for the studies: a real fit on a tiny task, or a few plain steps."""

from __future__ import annotations

from pathlib import Path

import torch

from compress.core.stage.context import Context
from finetune.context import make_context
from finetune.tasks.text_classification import TextClassification
from tests.finetune.conftest import write_rows
from tests.tiny import tiny_rows

PLAN = {"epochs": 1, "batch_size": 16, "learning_rate": 3e-3, "precision": "fp32"}


def tiny_task(directory: Path, *, rows: int = 96) -> TextClassification:
    """96 rows to train on and 24 to judge by."""
    write_rows(directory / "train.jsonl", tiny_rows(rows, seed=0))
    write_rows(directory / "validation.jsonl", tiny_rows(24, seed=1))
    return TextClassification(data=str(directory), max_length=24)


def context(task: TextClassification, root: Path) -> Context:
    """What the engine would hand to a stage."""
    for name in ("scratch", "left"):
        (root / name).mkdir(parents=True, exist_ok=True)
    ctx = make_context(task, task.load(0), seed=0, device=torch.device("cpu"), scratch=root / "scratch")
    ctx.left = root / "left"
    return ctx
