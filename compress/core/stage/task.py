"""Interface of a task for stages, measurements and the report; `finetune.tasks` has the tasks themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from compress.core.answers import Answers, Beside, Known
from compress.core.model.evaluation import Batch
from compress.core.model.head import TaskHead

__all__ = ["DEFAULT_LENGTH", "Outputs", "Scoring", "TaskView", "answering"]

Outputs = Mapping[str, Tensor]
"""Outputs of a model for a batch, by name: `logits`, `start_logits`, ...; transformers' ModelOutput is one."""

DEFAULT_LENGTH = 128
"""Sequence length, in tokens, where no task gives one."""


def answering(outputs: Any) -> dict[str, Tensor]:
    """The outputs of a model's head: every kind of logits; none where the model has no head."""
    return {name: value for name, value in outputs.items() if name.endswith("logits") and isinstance(value, Tensor)}


class Scoring(Protocol):
    """Metric of predictions ("answers"), and comparisons of two models' predictions. It needs no data and no torch."""

    @property
    def metric(self) -> str:
        """The metric's name."""
        ...

    def is_share(self, answers: Known) -> bool:
        """Whether the metric is an accuracy, the share of rows that are `right`: then tests are on counts of rows."""
        ...

    def score(self, answers: Known, targets: Known) -> float:
        """The metric; higher is better."""
        ...

    def beside(self, answers: Known, targets: Known) -> Beside:
        """The score of a constant answer, and how much of the predictions is one answer."""
        ...

    def right(self, answers: Known, targets: Known) -> np.ndarray | None:
        """Correctness (rows,) bool; None where a prediction is right to a degree, such as a number."""
        ...

    def changed(self, answers: Known, before: Known) -> np.ndarray | None:
        """Changed predictions (rows,) bool; None for regression, where every one differs a little."""
        ...

    def mean_kl(self, answers: Known, before: Known) -> float | None:
        """KL(before || answers) in nats, the mean over items; None where predictions are no distributions."""
        ...


class TaskView(Scoring, Protocol):
    """Task: the predictions of a model for its rows, the loss, and the metric."""

    @property
    def needs_head(self) -> TaskHead:
        """The head that a model needs."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits; empty where predictions are no classes."""
        ...

    def longest_row(self) -> int | None:
        """Largest sequence length of a row, in tokens; None where rows have none (images)."""
        ...

    def train_rows(self) -> int:
        """Number of rows of *train*."""
        ...

    def answers(self, outputs: Outputs, batch: Batch) -> Answers[Tensor]:
        """Predictions for the rows of a batch, with gradients where the outputs have them.

        Args:
            outputs: of the model.
            batch: the encoded rows.
        """
        ...

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """The mean loss of a batch against its `labels`.

        Args:
            outputs: of the model.
            batch: the encoded rows.
        """
        ...

    def divergence(self, student: Answers[Tensor], teacher: Answers[Tensor], *, temperature: float) -> Tensor:
        """Distillation loss of a student's predictions against a teacher's, averaged over the rows.

        Args:
            student: for the rows of a batch, with gradients.
            teacher: for the same rows.
            temperature: divides the logits of both before the softmax, where predictions are classes.
        """
        ...

    def objective(self, model: nn.Module, batch: Batch) -> Tensor:
        """The task's own objective: forward, then `loss`."""
        ...
