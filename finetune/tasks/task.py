"""What is learned: its data in three parts, its encoding, its loss and its metric."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from compress.core.answers import Answers, Beside, Known
from compress.core.choice import Choice
from compress.core.errors import InputError
from compress.core.model.evaluation import Batch, model_inputs
from compress.core.model.head import TaskHead
from compress.core.stage.task import Outputs
from finetune.tasks.metrics.metric import Metric

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["Encoded", "Splits", "Task"]


@dataclass(frozen=True, eq=False)
class Splits:
    """The three parts of the data. *train* is fitted, *select* chooses, *evaluation* is read to report, and only then.

    Every part has the task's columns and `label`, `row_id` (int64, unique over the parts) and `part` (`train`,
    `select`, or the name of the split that an evaluation row is from).
    """

    train: Dataset
    select: Dataset
    evaluation: Dataset
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """Part -> SHA-256 of its contents."""

    def part(self, name: str) -> Dataset:
        return {"train": self.train, "select": self.select, "evaluation": self.evaluation}[name]


class Encoded:
    """Rows as a model's inputs, ready to be cut into batches.

    Args:
        lengths: of each row, in tokens (or patches), for grouping; padding left out.
        labels: of each row, int64 or float32.
        row_ids: of each row, int64.
    """

    def __init__(self, lengths: np.ndarray, labels: np.ndarray, row_ids: np.ndarray):
        self.lengths, self.labels, self.row_ids = lengths, labels, row_ids

    def __len__(self) -> int:
        return len(self.row_ids)

    @abstractmethod
    def inputs(self, indices: np.ndarray) -> dict[str, Tensor]:
        """The model's inputs of these rows, padded to the longest of them."""

    def batch(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """The inputs of these rows, their `labels` and their `row_id`."""
        chosen = np.asarray(indices, dtype=np.int64)
        return {
            **self.inputs(chosen),
            "labels": torch.from_numpy(self.labels[chosen]),
            "row_id": torch.from_numpy(self.row_ids[chosen]),
        }


class Task(Choice):
    """A task is one class in one file. Its settings say which data; everything else follows from them.

    `compress.core.stage.task.TaskView` is what stages and measurements know of it.
    """

    home: ClassVar[str] = "finetune.tasks"

    @property
    @abstractmethod
    def needs_head(self) -> TaskHead:
        """The head that a model needs."""

    @property
    @abstractmethod
    def scoring(self) -> Metric:
        """The metric of its answers."""

    @abstractmethod
    def load(self, seed: int) -> Splits:
        """The three parts of the data; `seed` draws *select* where no split is named for it.

        Raises:
            InputError: the data cannot be used; the message has the file, what is there, and what to do.
        """

    @abstractmethod
    def encoded(self, rows: Dataset, processor: Any) -> Encoded:
        """`rows` in the tokens (or pixels) of `processor`; computed once for the same rows and processor."""

    @abstractmethod
    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """The mean loss of a batch against its `labels`."""

    @abstractmethod
    def answers(self, outputs: Outputs, batch: Batch) -> Answers[Tensor]:
        """What the model's outputs for a batch answer to its rows, with gradients where the outputs have them."""

    @abstractmethod
    def targets(self, rows: Dataset) -> Known:
        """The right answers to `rows`, in their order, item by item as `answers` gives them."""

    @abstractmethod
    def divergence(self, student: Answers[Tensor], teacher: Answers[Tensor], *, temperature: float) -> Tensor:
        """How far a student's answers are from a teacher's to the same rows, as a loss, averaged over the rows."""

    @abstractmethod
    def in_words(self, answers: Known) -> list[str]:
        """Each row's answer, or its right one, as a reader of the report knows it."""

    @abstractmethod
    def texts(self, rows: Dataset) -> list[str]:
        """A short text for each row, to show it."""

    @property
    def metric(self) -> str:
        """The name of the metric."""
        return self.scoring.metric

    def score(self, answers: Known, targets: Known) -> float:
        """The metric; higher is better."""
        return self.scoring.score(answers, targets)

    def beside(self, answers: Known, targets: Known) -> Beside:
        """The score of a constant answer, and the share of the commonest answer."""
        return self.scoring.beside(answers, targets)

    def is_share(self, answers: Known) -> bool:
        """Whether the metric is the share of rows that are `right`."""
        return self.scoring.is_share(answers)

    def right(self, answers: Known, targets: Known) -> np.ndarray | None:
        """(rows,) bool; None where an answer is more or less right."""
        return self.scoring.right(answers, targets)

    def changed(self, answers: Known, before: Known) -> np.ndarray | None:
        """(rows,) bool: whose answer differs; None where every answer does a little."""
        return self.scoring.changed(answers, before)

    def mean_kl(self, answers: Known, before: Known) -> float | None:
        """KL(before || answers) in nats; None where answers are no distributions."""
        return self.scoring.mean_kl(answers, before)

    def confidence(self, answers: Known) -> np.ndarray:
        """(rows,): how sure each answer is; all alike where answers do not tell."""
        return self.scoring.confidence(answers)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes that are told apart, in the order of the outputs; none where answers are no classes."""
        return ()

    def longest_row(self) -> int | None:
        """The most tokens of an encoded row; None where rows are not counted in tokens."""
        return None

    def text_columns(self, rows: Dataset) -> tuple[Sequence[str], ...]:
        """The texts of the rows as they stand in the data: one list, or two where a row is a pair.

        Raises:
            InputError: the rows hold no text.
        """
        raise InputError(f"the rows of a {self.name} task hold no text", advice="name a file with texts")

    def remarks(self) -> tuple[str, ...]:
        """What a reader of the report should know of the data; one sentence each, without a full stop."""
        return ()

    def ordered_as(self, names: tuple[str, ...]) -> Task:
        """This task with its classes in the order of `names`, a checkpoint's, where it may choose; else itself."""
        return self

    def place(self, row_id: int) -> str:
        """Where a row stands in the data, for messages."""
        return f"the row of id {row_id}"

    def train_rows(self) -> int:
        """How many rows are trained on."""
        return len(self.load(0).train)

    def check(self) -> None:
        """Raise `InputError` where the data cannot be used."""
        self.load(0)

    def encode(self, rows: Dataset, processor: Any) -> Batch:
        """All `rows` as one batch, padded to the longest."""
        return self.encoded(rows, processor).batch(range(len(rows)))

    def objective(self, model: nn.Module, batch: Batch) -> Tensor:
        """Forward, then the task's loss."""
        return self.loss(model(**model_inputs(batch)), batch)

    def about(self) -> dict[str, Any]:
        """Plain data for the report: what is asked, and how it is judged."""
        return {"name": self.name, "metric": self.metric, "labels": list(self.needs_head.labels or ())}

    def describe(self, splits: Splits) -> dict[str, Any]:
        """`about`, and the parts of the data."""
        parts = {
            name: {"rows": len(splits.part(name)), "fingerprint": splits.fingerprints.get(name)}
            for name in ("train", "select", "evaluation")
        }
        return {**self.about(), "parts": parts}
