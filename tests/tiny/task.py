"""A task without data, for stages that are handed one: two classes, or one number."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from compress.core.answers import Answers, Known
from compress.core.model.evaluation import Batch
from compress.core.model.head import TaskHead
from compress.core.stage.task import Outputs
from compress.distill.losses.soft_targets import soft_target_divergence
from finetune.tasks.metrics.metric import Metric, metric_named

__all__ = ["TinyTask", "class_answers", "right_answers"]


class TinyTask:
    """What `compress.core.stage.task.TaskView` asks, on the labels of a batch."""

    def __init__(self, metric: str = "accuracy") -> None:
        self.metric = metric
        self.numbers = metric in ("pearson", "spearman")

    @cached_property
    def scoring(self) -> Metric:
        return metric_named(self.metric)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.scoring, name)

    @property
    def needs_head(self) -> TaskHead:
        return TaskHead.of_labels("sequence_classification", ("bad", "good"), regression=self.numbers)

    @property
    def class_names(self) -> tuple[str, ...]:
        return () if self.numbers else ("bad", "good")

    def longest_row(self) -> int | None:
        return None

    def train_rows(self) -> int:
        return 40

    def answers(self, outputs: Outputs, batch: Batch) -> Answers[Tensor]:
        return Answers(batch["row_id"], outputs["logits"])

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        logits, labels = outputs["logits"], batch["labels"]
        return F.mse_loss(logits[:, 0], labels.float()) if self.numbers else F.cross_entropy(logits, labels)

    def divergence(self, student: Answers[Tensor], teacher: Answers[Tensor], *, temperature: float) -> Tensor:
        if self.numbers:
            return F.mse_loss(student.values, teacher.values)
        return soft_target_divergence(student.values, teacher.values, temperature=temperature)

    def objective(self, model: Any, batch: Batch) -> Tensor:
        inputs = {name: value for name, value in batch.items() if name not in ("labels", "row_id")}
        return self.loss(model(**inputs), batch)

    def in_words(self, answers: Known) -> list[str]:
        numbers = answers.values if answers.values.ndim == 1 else answers.values.argmax(-1)
        return [self.class_names[int(number)] for number in numbers]


def class_answers(logits: np.ndarray) -> Known:
    """Answers (rows, classes) to rows 0, 1, ..."""
    return Answers(np.arange(len(logits)), np.asarray(logits))


def right_answers(labels: Any) -> Known:
    """The right answers (rows,) to rows 0, 1, ..."""
    return Answers(np.arange(len(labels)), np.asarray(labels))
