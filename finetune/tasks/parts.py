"""The train, select and evaluation parts, made of the splits that were read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from compress.core.errors import InputError
from finetune.tasks.columns import Table
from finetune.tasks.labels import LabelSet
from finetune.tasks.splits import draw, fingerprint, select_size
from finetune.tasks.task import Splits

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["Numbered", "Sources", "assemble"]


@dataclass(frozen=True, eq=False)
class Numbered:
    """A split with encoded labels and a row id for each row.

    Attributes:
        table: the columns as they were read.
        labels: (rows,) class numbers, int64, or regression targets, float32.
        row_ids: (rows,) int64, unique over all splits.
    """

    table: Table
    labels: np.ndarray
    row_ids: np.ndarray

    def __len__(self) -> int:
        return len(self.row_ids)

    def rows(self, indices: np.ndarray, columns: Sequence[str], *, part: str) -> Dataset:
        """These rows as a dataset with text columns, `label`, `row_id` and `part`.

        Args:
            indices: of the rows, in the order that is wanted.
            columns: the names of the text columns.
            part: `train`, `select`, or the name of the evaluation split.
        """
        from datasets import Dataset

        texts = {name: [values[i] for i in indices] for name, values in zip(columns, self.table.texts, strict=True)}
        return Dataset.from_dict(
            {**texts, "label": self.labels[indices], "row_id": self.row_ids[indices], "part": [part] * len(indices)}
        )


@dataclass(frozen=True, eq=False)
class Sources:
    """The splits as they were read, before subset and *select* are drawn from train.

    Attributes:
        labels: the label encoding, found in train.
        train: the train split.
        evaluation: the splits that are read to report.
        select: the split that chooses; None where it is drawn from train.
    """

    labels: LabelSet
    train: Numbered
    evaluation: tuple[Numbered, ...]
    select: Numbered | None

    @property
    def parts(self) -> tuple[Numbered, ...]:
        """Every split, in the order of the row ids."""
        return (self.train, *self.evaluation, *([self.select] if self.select else []))

    def place(self, row_id: int) -> str:
        """Where the row of that id stands: `file:line`, or the split and the row's number."""
        for part in self.parts:
            if part.row_ids[0] <= row_id <= part.row_ids[-1]:
                return part.table.at(row_id - int(part.row_ids[0]))
        return f"row {row_id}"

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of the report should know of the files and their labels."""
        return (*(remark for part in self.parts for remark in part.table.remarks), *self.labels.remarks)

    @classmethod
    def of(cls, labels: LabelSet, *, train: Table, evaluation: Sequence[Table], select: Table | None) -> Sources:
        """Encode the labels, and number the rows over all splits: train, evaluation, select.

        Args:
            labels: the label encoding.
            train: the train split.
            evaluation: the splits that are read to report.
            select: the split that chooses; None to draw it from train.
        """
        start = 0
        numbered: list[Numbered] = []
        for table in (train, *evaluation, *([select] if select else [])):
            numbered.append(
                Numbered(table, labels.numbers(table), np.arange(start, start + len(table), dtype=np.int64))
            )
            start += len(table)
        rest = numbered[1:]
        return cls(labels, numbered[0], tuple(rest[: len(evaluation)]), rest[-1] if select else None)


def assemble(
    sources: Sources, columns: Sequence[str], *, seed: int, subset: int | None = None, subset_seed: int = 0
) -> Splits:
    """The train, select and evaluation parts.

    Args:
        sources: the splits as they were read.
        columns: the names of the text columns.
        seed: draws *select* out of train where no split is named for it.
        subset: keep so many train rows, drawn by `subset_seed` before *select* is.
    """
    train = sources.train
    kept = _subset(sources, subset, subset_seed)
    select = sources.select
    if select is None:
        select, kept, chosen = train, *_carve(sources, kept, seed)
    else:
        chosen = np.arange(len(select))
    parts = {
        "train": train.rows(kept, columns, part="train"),
        "select": select.rows(chosen, columns, part="select"),
        "evaluation": _joined([_whole(part, columns) for part in sources.evaluation]),
    }
    prints = {name: fingerprint([rows[c] for c in (*columns, "label", "row_id")]) for name, rows in parts.items()}
    return Splits(**parts, fingerprints=prints)


def _subset(sources: Sources, rows: int | None, seed: int) -> np.ndarray:
    everything = np.arange(len(sources.train))
    if rows is None:
        return everything
    if rows > len(everything):
        raise InputError(
            f"a subset of {rows:,} rows was asked, and train has {len(everything):,}",
            where=sources.train.table.where,
            advice="ask for fewer rows, or leave out `subset:`",
        )
    return draw(sources.train.labels, rows, seed=seed, stratified=not sources.labels.regression)


def _carve(sources: Sources, rows: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`rows` of train divided into those that stay and those of *select*."""
    if len(rows) < 2:
        raise InputError(
            f"train has {len(rows)} row, and *select* is drawn from it",
            where=sources.train.table.where,
            advice="name a split for `select:`, or give more rows",
        )
    labels = sources.train.labels[rows]
    drawn = draw(labels, select_size(len(rows)), seed=seed, stratified=not sources.labels.regression)
    return np.delete(rows, drawn), rows[drawn]


def _whole(part: Numbered, columns: Sequence[str]) -> Dataset:
    return part.rows(np.arange(len(part)), columns, part=part.table.name)


def _joined(parts: list[Dataset]) -> Dataset:
    from datasets import concatenate_datasets

    return parts[0] if len(parts) == 1 else concatenate_datasets(parts)
