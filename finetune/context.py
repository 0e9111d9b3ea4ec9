"""Context of a stage with its training, batches, and evaluation on *select*."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch

from compress.core.model.bundle import Bundle
from compress.core.model.evaluation import Batch
from compress.core.stage.context import BatchSource, Context
from finetune.batching.batches import Batches, moved
from finetune.batching.predict import predict
from finetune.tasks.task import Splits, Task
from finetune.training.fit import make_fit

__all__ = ["make_batches", "make_context", "select_score"]


def make_context(
    task: Task,
    splits: Splits,
    *,
    seed: int,
    device: torch.device,
    scratch: Path | None,
    progress: bool = False,
    **extra: Any,
) -> Context:
    """The context of one stage.

    Args:
        task: the recipe's.
        splits: its data by this seed. *evaluation* is not handed on.
        seed: of the run.
        device: where models live.
        scratch: the stage's directory for checkpoints; None trains without any.
        progress: show a bar for long work.
        extra: further fields of `Context` (`earlier`, `best`).
    """
    return Context(
        task=task,
        fit=make_fit(task, splits, seed=seed, device=device, directory=scratch, progress=progress),
        batches=make_batches(task, splits, seed=seed),
        texts=lambda part: task.text_columns(splits.part(part)),
        targets=lambda part: task.targets(splits.part(part)),
        evaluate=lambda bundle: select_score(bundle, task, splits, device=device),
        device=device,
        seed=seed,
        scratch=scratch,
        part_fingerprints={part: splits.fingerprints.get(part, "") for part in ("train", "select")},
        **extra,
    )


def make_batches(task: Task, splits: Splits, *, seed: int) -> BatchSource:
    """Source of batches from these splits, for `Context.batches`.

    Args:
        task: encodes the rows.
        splits: the data; *evaluation* is not read.
        seed: of the drawn rows.
    """

    def batches(
        bundle: Bundle, part: Literal["train", "select"] = "train", count: int | None = None, batch_size: int = 32
    ) -> Iterator[Batch]:
        source = Batches(bundle, task, splits.train if part == "train" else splits.select)
        found = source.in_order(batch_size) if count is None else source.drawn(count, batch_size, seed=seed)
        return (moved(batch, bundle.device) for batch in found)

    return batches


def select_score(bundle: Bundle, task: Task, splits: Splits, *, device: torch.device | None = None) -> float:
    """Metric on the *select* split; higher is better.

    Args:
        bundle: the model.
        task: encodes and scores.
        splits: the data.
        device: where it is computed; the bundle's own unless given.
    """
    return task.score(predict(bundle, task, splits.select, device=device), task.targets(splits.select))
