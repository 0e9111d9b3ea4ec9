"""A text, or a pair of texts, and a label or a number."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from compress.core.answers import Answers, Known
from compress.core.errors import InputError, printable
from compress.core.model.evaluation import Batch
from compress.core.model.head import TaskHead
from compress.core.stage.task import Outputs
from compress.core.values import Count, Settings
from compress.distill.losses.soft_targets import soft_target_divergence
from finetune.tasks.columns import Table, read_table, split_names
from finetune.tasks.data_fields import Columns, Data
from finetune.tasks.encoding import processor_fingerprint, tokenize
from finetune.tasks.labels import LabelSet, find_labels
from finetune.tasks.metrics.metric import Metric, metric_named
from finetune.tasks.parts import Sources, assemble
from finetune.tasks.source import Source, open_source
from finetune.tasks.splits import fingerprint
from finetune.tasks.task import Encoded, Splits, Task

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["Subset", "TextClassification"]

OF_CLASSES, OF_NUMBERS = ("accuracy", "f1", "matthews"), ("pearson", "spearman")
"""Metrics that fit a task of classes, and one of numbers."""
SHOWN = 300
"""Characters of a text in the report."""


class Subset(Settings):
    """A part of the train split, drawn once: stratified where there are classes."""

    rows: Count
    seed: int = Field(0, ge=0, description="its own, so that every seed of the run sees the same rows")


class TextClassification(Task):
    """Sort texts, or pairs of texts, into two or more classes, or give each a number."""

    data: Data = Field(None, description="a hub id, a directory, a file, or made data such as `reviews`")
    config: str | None = Field(None, description="of a hub id that has several")
    train: str = Field("train", description="a split, or the path of a file")
    select: str | None = Field(None, description="a split or a file; 5 % of train by seed unless given")
    evaluation: str | None = Field(None, description="a split, a file, or `a+b`; validation, else test, unless given")
    text: Columns = Field((), max_length=2, description="one or two columns; the data's own unless given")
    label: str | None = Field(None, description="a column; the data's own (`label`) unless given")
    labels: tuple[str, ...] = Field((), description="in the order of the model's outputs; sorted unless given")
    asked_regression: bool | None = Field(
        None, alias="regression", description="found by the labels (numbers with a fraction) unless given"
    )
    asked_metric: Literal["accuracy", "f1", "matthews", "pearson", "spearman"] | None = Field(
        None, alias="metric", description="accuracy, or pearson for a regression, unless given"
    )
    max_length: Count = Field(128, description="in tokens; longer rows are cut")
    subset: Subset | None = Field(None, description="train on so many rows only")

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the model's outputs."""
        return self.label_set.names

    @property
    def class_names(self) -> tuple[str, ...]:
        return () if self.regression else self.label_names

    @property
    def needs_head(self) -> TaskHead:
        labels = self.label_set
        return TaskHead.of_labels("sequence_classification", labels.names, regression=labels.regression)

    @property
    def scoring(self) -> Metric:
        return metric_named(self.asked_metric or ("pearson" if self.regression else "accuracy"))

    def longest_row(self) -> int:
        return self.max_length

    @property
    def regression(self) -> bool:
        """Whether a row has a number instead of a class."""
        return self.label_set.regression

    def ordered_as(self, names: tuple[str, ...]) -> Task:
        own = self.label_set
        if self.labels or own.regression or own.only_numbers:
            return self
        spelled = {_folded(name): name for name in own.names}
        order = tuple(spelled.get(_folded(name), name) for name in names)
        if not _holds(order, own) or order == own.names:
            return self
        found = self.model_copy(update={"labels": order})
        for derived in ("label_set", "sources", "loaded"):
            found.__dict__.pop(derived, None)
        return found

    def place(self, row_id: int) -> str:
        return f"{self.sources.place(row_id)}, {' and '.join(map(repr, self.columns))}"

    def remarks(self) -> tuple[str, ...]:
        return self.sources.remarks

    @cached_property
    def source(self) -> Source | None:
        """Where the rows come from; None where every split is a file of its own."""
        return None if self.data is None else open_source(self.data, self.config)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The text columns."""
        return self.text or (self.source.text if self.source else Source.text)

    @cached_property
    def train_table(self) -> Table:
        """The train split as it was read."""
        return self._table(self.train)

    @cached_property
    def label_set(self) -> LabelSet:
        """The label encoding, found in train."""
        return find_labels(self.train_table, given=self.labels, regression=self.asked_regression)

    @cached_property
    def sources(self) -> Sources:
        """What was read and checked; the same for every seed."""
        train, labels = self.train_table, self.label_set
        self._check_metric(labels)
        evaluation = self.evaluation_splits()
        self._check_apart([self.train, self.select, *evaluation])
        tables = [self._table(name) for name in evaluation]
        select = self._table(self.select) if self.select else None
        return Sources.of(labels, train=train, evaluation=tables, select=select)

    @cached_property
    def loaded(self) -> dict[int, Splits]:
        """The parts by seed, as far as they were asked for."""
        return {}

    def load(self, seed: int) -> Splits:
        if seed not in self.loaded:
            rows = self.subset.rows if self.subset else None
            subset_seed = self.subset.seed if self.subset else 0
            self.loaded[seed] = assemble(self.sources, self.columns, seed=seed, subset=rows, subset_seed=subset_seed)
        return self.loaded[seed]

    def evaluation_splits(self) -> list[str]:
        """The splits that are read to report."""
        if self.evaluation is not None:
            return split_names(self.evaluation)
        there = self.source.splits() if self.source else ()
        for name in ("validation", "test"):
            if name in there and name != self.select:
                return [name]
        raise InputError(
            "no split to report on",
            where=self.source.describe() if self.source else "task.data",
            advice=f"name a split or a file in `evaluation:`; there is: {', '.join(there) or 'nothing'}",
        )

    def encoded(self, rows: Dataset, processor: Any) -> Encoded:
        known = _ENCODED.setdefault(rows, {})
        key = (processor_fingerprint(processor), self.columns, self.max_length)
        if key not in known:
            known[key] = tokenize(
                [rows[column] for column in self.columns],
                processor,
                max_length=self.max_length,
                labels=np.asarray(rows["label"], dtype=np.float32 if self.regression else np.int64),
                row_ids=np.asarray(rows["row_id"], dtype=np.int64),
            )
        return known[key]

    def answers(self, outputs: Outputs, batch: Batch) -> Answers[Tensor]:
        return Answers(batch["row_id"], outputs["logits"])

    def targets(self, rows: Dataset) -> Known:
        return Answers(np.asarray(rows["row_id"], dtype=np.int64), np.asarray(rows["label"]))

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Cross entropy, or the mean square error of a regression."""
        logits, labels = outputs["logits"].float(), batch["labels"]
        if self.regression:
            return functional.mse_loss(logits.squeeze(-1), labels.float())
        return functional.cross_entropy(logits, labels)

    def divergence(self, student: Answers[Tensor], teacher: Answers[Tensor], *, temperature: float) -> Tensor:
        """KL divergence of the softened answers, or the mean square of the difference of a regression."""
        if self.regression:
            return functional.mse_loss(student.values.float(), teacher.values.float())
        return soft_target_divergence(student.values, teacher.values, temperature=temperature)

    def in_words(self, answers: Known) -> list[str]:
        if self.regression:
            return [f"{value:.3g}" for value in answers.values.reshape(-1)]
        numbers = answers.values if answers.values.ndim == 1 else answers.values.argmax(-1)
        return [self.class_names[int(number)] for number in numbers]

    def texts(self, rows: Dataset) -> list[str]:
        rows_of_texts = zip(*(rows[column] for column in self.columns), strict=True)
        return [" | ".join(_short(text) for text in row) for row in rows_of_texts]

    def text_columns(self, rows: Dataset) -> tuple[Sequence[str], ...]:
        return tuple(list(rows[column]) for column in self.columns)

    def describe(self, splits: Splits) -> dict[str, Any]:
        found, rows = super().describe(splits), splits.evaluation
        # Names instead of numbers: runs that list their labels in another order still judge the same examples.
        labels = rows["label"] if self.regression else [self.class_names[number] for number in rows["label"]]
        examples = fingerprint([*(rows[column] for column in self.columns), labels, rows["row_id"]])
        found["parts"]["evaluation"]["examples"] = examples
        return found

    def dump(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_defaults=True, by_alias=True)

    def _table(self, split: str) -> Table:
        label = self.label or (self.source.label if self.source else Source.label)
        return read_table(self.source, split, text=self.columns, label=label)

    def _check_metric(self, labels: LabelSet) -> None:
        fitting = OF_NUMBERS if labels.regression else OF_CLASSES
        if self.asked_metric is not None and self.asked_metric not in fitting:
            kind = "a regression" if labels.regression else f"{len(labels.names)} classes"
            raise InputError(
                f"the metric {self.asked_metric!r} does not fit {kind}",
                where="task.metric",
                advice=f"one of: {', '.join(fitting)}",
            )

    def _check_apart(self, splits: list[str | None]) -> None:
        named = [name for name in splits if name is not None]
        twice = next((name for name in named if named.count(name) > 1), None)
        if twice is not None:
            raise InputError(
                f"the split {twice!r} is used twice, and train, select and evaluation must have no row in common",
                where=self.source.describe() if self.source else "task",
                advice="name three different splits; leave out `select:` to draw it from train",
            )


def _short(text: str) -> str:
    """The beginning of a text, without what would steer a terminal."""
    return printable(text if len(text) <= SHOWN else f"{text[: SHOWN - 4]} ...")


def _folded(name: str) -> str:
    return name.strip().casefold()


def _holds(names: tuple[str, ...], own: LabelSet) -> bool:
    """Whether `names` are the classes of the data, each once, or hold them all where the data does not name its own."""
    if len(set(map(_folded, names))) < len(names) or not set(own.names) <= set(names):
        return False
    return len(names) == len(own.names) or not own.named


_ENCODED: WeakKeyDictionary[Any, dict[Any, Encoded]] = WeakKeyDictionary()
"""Rows -> what they are in the tokens of each processor; forgotten with the rows."""
