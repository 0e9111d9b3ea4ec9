"""What is learned: its data in three parts, its encoding, its loss and its metric."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from compress.core.choice import Choice
from compress.core.errors import InputError
from compress.core.model.evaluation import Batch, model_inputs

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["Encoded", "Metric", "Splits", "Task"]

Metric = Literal["accuracy", "f1", "matthews", "pearson", "spearman"]


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
    """A task is one class in one file. Its settings say which data; everything else follows from them."""

    home: ClassVar[str] = "finetune.tasks"
    head: ClassVar[str] = ""
    """The kind of head that a model needs for it, as in `compress.core.checkpoint.save.load_source`."""

    @property
    @abstractmethod
    def label_names(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the model's outputs; one name for a regression."""

    @property
    @abstractmethod
    def regression(self) -> bool: ...

    @property
    @abstractmethod
    def metric(self) -> Metric:
        """The metric that `score` computes."""

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
    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean loss over a batch."""

    @abstractmethod
    def score(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """The metric; higher is better."""

    @abstractmethod
    def texts(self, rows: Dataset) -> list[str]:
        """A short text for each row, to show it."""

    def text_columns(self, rows: Dataset) -> tuple[Sequence[str], ...]:
        """The texts of the rows as they stand in the data: one list, or two where a row is a pair.

        Raises:
            InputError: the rows hold no text.
        """
        raise InputError(f"the rows of a {self.name} task hold no text", advice="name a file with texts")

    @property
    def label_count(self) -> int:
        """The width of the model's output: 1 for a regression."""
        return len(self.label_names)

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
        return self.loss(model(**model_inputs(batch)).logits, batch["labels"])

    def describe(self, splits: Splits) -> dict[str, Any]:
        """Plain data for the report."""
        parts = {
            name: {"rows": len(splits.part(name)), "fingerprint": splits.fingerprints.get(name)}
            for name in ("train", "select", "evaluation")
        }
        return {"name": self.name, "metric": self.metric, "labels": list(self.label_names), "parts": parts}
