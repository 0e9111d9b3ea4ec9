"""Answers: a model's predictions for rows of data, or the labels. Plain values, which reports read without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["Answers", "Beside", "Known", "in_torch", "outside_torch", "read_answers", "write_answers"]

Array = TypeVar("Array", "np.ndarray[Any, Any]", "Tensor")


@dataclass(frozen=True, eq=False)
class Answers(Generic[Array]):
    """Predictions, one for each row, or several for tasks on tokens.

    Attributes:
        row_ids: (rows,) int64.
        values: (items, ...), row after row: class logits (items, classes), numbers (items, 1), vectors, spans.
        counts: (rows,) int64, the items of each row; None where each row has one.
    """

    row_ids: Array
    values: Array
    counts: Array | None = None

    def __len__(self) -> int:
        return len(self.row_ids)

    def take(self: Known, rows: np.ndarray) -> Known:
        """The answers of these rows (indices or a mask), in that order; with repetitions for a resample."""
        if self.counts is None:
            return Answers(self.row_ids[rows], self.values[rows])
        counts = self.counts[rows]
        starts = (np.cumsum(self.counts) - self.counts)[rows]
        before = np.cumsum(counts) - counts
        items = np.arange(int(counts.sum())) + np.repeat(starts - before, counts)
        return Answers(self.row_ids[rows], self.values[items], counts)

    def in_order(self: Known) -> Known:
        """By ascending row id."""
        return self.take(np.argsort(self.row_ids, kind="stable"))

    def of_each_row(self: Known, items: np.ndarray) -> list[np.ndarray]:
        """Values (items, ...) that belong to these answers, split by row."""
        if self.counts is None:
            return list(items[:, None])
        return np.split(items, np.cumsum(self.counts)[:-1])

    def same_rows(self: Known, other: Known) -> bool:
        """Whether both are of the same rows, with as many items, in the same order."""
        if not np.array_equal(self.row_ids, other.row_ids):
            return False
        if self.counts is None or other.counts is None:
            return self.counts is other.counts
        return np.array_equal(self.counts, other.counts)

    @classmethod
    def joined(cls, parts: Sequence[Known]) -> Known:
        """The answers of all batches, one batch after the other."""
        counts = [part.counts for part in parts if part.counts is not None]
        return Answers(
            np.concatenate([part.row_ids for part in parts]),
            np.concatenate([part.values for part in parts]),
            np.concatenate(counts) if counts else None,
        )


@dataclass(frozen=True)
class Beside:
    """What a score is read beside.

    Attributes:
        constant: the best score that one answer for every row could reach; None where it is not known.
        commonest: the share of items that were given the commonest answer; None where answers are no classes.
        accuracy: the share of right items; None where answers are no classes, or it is the score.
    """

    constant: float | None = None
    commonest: float | None = None
    accuracy: float | None = None


Known = Answers["np.ndarray[Any, Any]"]
"""Answers outside torch, as they are scored, saved and compared."""


def outside_torch(answers: Answers[Tensor]) -> Known:
    """The same answers as numpy arrays, values in float32."""
    counts = None if answers.counts is None else answers.counts.cpu().numpy()
    return Answers(answers.row_ids.cpu().numpy(), answers.values.detach().float().cpu().numpy(), counts)


def in_torch(answers: Known, device: torch.device) -> Answers[Tensor]:
    """The same answers as tensors on `device`.

    Args:
        answers: numpy arrays.
        device: of the tensors.
    """
    import torch

    row_ids, values = (torch.from_numpy(one).to(device) for one in (answers.row_ids, answers.values))
    return Answers(row_ids, values, None if answers.counts is None else torch.from_numpy(answers.counts).to(device))


def write_answers(path: Path, answers: Known, targets: Known | None = None) -> None:
    """Write answers as `row_ids`, `logits` (float32) and `counts`, and the labels as `labels`, without pickle.

    Args:
        path: of an .npz file; its folder is made if missing.
        answers: predictions.
        targets: the labels of the same rows, or None.

    Raises:
        ValueError: the labels are of other rows.
    """
    arrays: dict[str, Any] = {"row_ids": answers.row_ids.astype(np.int64), "logits": answers.values.astype(np.float32)}
    if answers.counts is not None:
        arrays["counts"] = answers.counts
    if targets is not None:
        if not np.array_equal(answers.row_ids, targets.row_ids):
            raise ValueError("the answers and the right ones are of different rows")
        arrays["labels"] = targets.values
        if targets.counts is not None:
            arrays["label_counts"] = targets.counts
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez(file, **arrays)


def read_answers(path: Path) -> tuple[Known, Known | None]:
    """Inverse of `write_answers`: the predictions, and the labels where they were written."""
    with np.load(path, allow_pickle=False) as file:
        answers = Answers(file["row_ids"], file["logits"], file.get("counts"))
        if "labels" not in file:
            return answers, None
        counts = file.get("label_counts")
        return answers, Answers(answers.row_ids, file["labels"], counts)
