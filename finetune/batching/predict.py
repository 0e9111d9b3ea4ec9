"""Inference over a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from compress.core.answers import Answers, Known, outside_torch
from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import evaluating, model_inputs
from finetune.batching.batches import Batches, moved
from finetune.processes import current
from finetune.tasks.task import Task

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["predict"]


def predict(
    bundle: Bundle, task: Task, rows: Dataset, *, batch_size: int = 64, device: torch.device | None = None
) -> Known:
    """Model outputs for all rows as answers, in fp32, in the order of `rows`.

    Batches hold rows of like length, the longest first; the same rows and batch size give the same bits. Processes that
    share the work (`finetune.processes.current`) divide the batches, and each has all answers.

    Args:
        bundle: moved to `device`, and left there.
        task: encodes the rows.
        rows: a part of the task's splits, or some of its rows.
        batch_size: rows in a forward pass.
        device: the bundle's own unless given.
    """
    device = device or bundle.device
    batches = Batches(bundle.to(device), task, rows)
    found: list[tuple[np.ndarray, Known]] = []
    order = np.argsort(-batches.lengths, kind="stable")
    processes = current()
    with evaluating(bundle.model), torch.inference_mode():
        for start in range(0, len(order), batch_size)[processes.rank :: processes.count]:
            chosen = order[start : start + batch_size]
            batch = moved(batches(chosen), device)
            found.append((chosen, outside_torch(task.answers(bundle.model(**model_inputs(batch)), batch))))
    parts = [part for process in processes.gathered(found) for part in process]
    places = np.concatenate([chosen for chosen, _ in parts])
    return Answers.joined([answers for _, answers in parts]).take(np.argsort(places))
