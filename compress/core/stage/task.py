"""What a stage, a measurement or a report may know of a task; `finetune.tasks` has the tasks themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from compress.core.answers import Answers, Known
from compress.core.model.evaluation import Batch
from compress.core.model.head import TaskHead

__all__ = ["DEFAULT_LENGTH", "Outputs", "Scoring", "TaskView", "answering"]

Outputs = Mapping[str, Tensor]
"""What a model gives for a batch, by name: `logits`, `start_logits`, ...; transformers' ModelOutput is one."""

DEFAULT_LENGTH = 128
"""Tokens of a row where no task says how long its rows are."""


def answering(outputs: Any) -> dict[str, Tensor]:
    """The outputs of a model that answer: every kind of logits; none where the model has no head."""
    return {name: value for name, value in outputs.items() if name.endswith("logits") and isinstance(value, Tensor)}


class Scoring(Protocol):
    """A metric of answers, and what it is for two answers to differ. It needs no data and no torch."""

    @property
    def metric(self) -> str:
        """The metric's name."""
        ...

    def is_share(self, answers: Known) -> bool:
        """Whether the metric is the share of rows that are `right`: then counts of rows decide the tests."""
        ...

    def score(self, answers: Known, targets: Known) -> float:
        """The metric; higher is better."""
        ...

    def right(self, answers: Known, targets: Known) -> np.ndarray | None:
        """(rows,) bool; None where an answer is more or less right, such as a number."""
        ...

    def changed(self, answers: Known, before: Known) -> np.ndarray | None:
        """(rows,) bool: whose answer differs; None where every answer does a little."""
        ...

    def mean_kl(self, answers: Known, before: Known) -> float | None:
        """KL(before || answers) in nats, the mean over items; None where answers are no distributions."""
        ...


class TaskView(Scoring, Protocol):
    """A task: how models answer its rows, what is minimised, how answers are scored."""

    @property
    def needs_head(self) -> TaskHead:
        """The head that a model needs."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes that are told apart, in the order of the outputs; none where answers are no classes."""
        ...

    def longest_row(self) -> int | None:
        """The most tokens of an encoded row; None where rows are not counted in tokens."""
        ...

    def train_rows(self) -> int:
        """How many rows are trained on."""
        ...

    def answers(self, outputs: Outputs, batch: Batch) -> Answers[Tensor]:
        """What the model's outputs for a batch answer to its rows, with gradients where the outputs have them."""
        ...

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """The mean loss of a batch against its `labels`."""
        ...

    def divergence(self, student: Answers[Tensor], teacher: Answers[Tensor], *, temperature: float) -> Tensor:
        """How far a student's answers are from a teacher's to the same rows, as a loss, averaged over the rows.

        Args:
            temperature: divides logits before their softmax, where answers are classes.
        """
        ...

    def objective(self, model: nn.Module, batch: Batch) -> Tensor:
        """The task's own objective: forward, then `loss`."""
        ...
