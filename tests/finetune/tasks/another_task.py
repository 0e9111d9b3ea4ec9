"""A task of another kind, as somebody would add it: a label for each word, with a metric of its own."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from compress.core.answers import Answers, Known
from compress.core.model.evaluation import Batch
from compress.core.model.head import TaskHead
from compress.core.stage.task import Outputs
from compress.distill.losses.soft_targets import soft_target_divergence
from finetune.tasks.encoding import EncodedText
from finetune.tasks.metrics.classes import Classes
from finetune.tasks.task import Encoded, Splits, Task
from tests.tiny.rows import BAD, FILLER, GOOD

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["WordLabels"]

LABELS = ("other", "good", "bad")
IGNORED = -100
"""The label of special tokens, of padding, and of every subword token of a word but its first."""


class RecallOfOpinions(Classes):
    """The share of the words of opinion that are found, each with its label."""

    metric: ClassVar[str] = "recall_of_opinions"

    def value(self, logits: np.ndarray, labels: np.ndarray) -> float:
        opinions = labels != LABELS.index("other")
        return float((logits.argmax(-1) == labels)[opinions].mean()) if opinions.any() else 0.0


class WordsInTokens(EncodedText):
    """Rows of tokens, with a label for each token."""

    def batch(self, indices: Sequence[int] | np.ndarray) -> Batch:
        chosen = np.asarray(indices, dtype=np.int64)
        return {**self.inputs(chosen), "row_id": torch.from_numpy(self.row_ids[chosen])}


class WordLabels(Task):
    """Label every word of a sentence: good, bad, or other."""

    @property
    def needs_head(self) -> TaskHead:
        return TaskHead("token_classification", LABELS)

    @property
    def scoring(self) -> RecallOfOpinions:
        return RecallOfOpinions()

    @property
    def class_names(self) -> tuple[str, ...]:
        return LABELS

    def load(self, seed: int) -> Splits:
        return _splits()

    def encoded(self, rows: Dataset, processor: Any) -> Encoded:
        tokens = processor(list(rows["words"]), is_split_into_words=True)
        lengths = np.array([len(ids) for ids in tokens["input_ids"]])
        labels = [_of_tokens(tokens.word_ids(row), words) for row, words in enumerate(rows["label"])]
        columns = {**{name: tokens[name] for name in processor.model_input_names}, "labels": labels}
        return WordsInTokens(
            {name: np.concatenate(values) for name, values in columns.items()},
            lengths,
            padding={"token_type_ids": 0, "attention_mask": 0, "input_ids": processor.pad_token_id, "labels": IGNORED},
            labels=np.zeros(len(rows)),
            row_ids=np.asarray(rows["row_id"]),
        )

    def answers(self, outputs: Outputs, batch: Batch) -> Answers[Tensor]:
        asked = batch["labels"] != IGNORED
        return Answers(batch["row_id"], outputs["logits"][asked], asked.sum(1))

    def targets(self, rows: Dataset) -> Known:
        labels = list(rows["label"])
        return Answers(np.asarray(rows["row_id"]), np.concatenate(labels), np.array([len(row) for row in labels]))

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        return functional.cross_entropy(outputs["logits"].flatten(0, 1), batch["labels"].flatten())

    def divergence(self, student: Answers[Tensor], teacher: Answers[Tensor], *, temperature: float) -> Tensor:
        return soft_target_divergence(student.values, teacher.values, temperature=temperature)

    def in_words(self, answers: Known) -> list[str]:
        numbers = answers.values if answers.values.ndim == 1 else answers.values.argmax(-1)
        return [" ".join(LABELS[number] for number in row) for row in answers.of_each_row(numbers)]

    def texts(self, rows: Dataset) -> list[str]:
        return [" ".join(words) for words in rows["words"]]


def _of_tokens(words: Sequence[int | None], labels: Sequence[int]) -> list[int]:
    """The label of each token, given the word that it is of."""
    before = [None, *words[:-1]]
    return [IGNORED if w is None or w == b else labels[w] for w, b in zip(words, before, strict=True)]


@cache
def _splits() -> Splits:
    return Splits(_rows(96, part="train"), _rows(16, part="select"), _rows(24, part="validation"))


def _rows(count: int, *, part: str) -> Dataset:
    from datasets import Dataset

    draw, start = random.Random(part), {"train": 0, "select": 1000, "validation": 2000}[part]
    said = {0: FILLER, 1: GOOD, 2: BAD}
    labels = [[draw.choice((0, 0, 1, 2)) for _ in range(draw.randint(3, 9))] for _ in range(count)]
    words = [[draw.choice(said[label]) for label in row] for row in labels]
    ids = list(range(start, start + count))
    return Dataset.from_dict({"words": words, "label": labels, "row_id": ids, "part": [part] * count})
