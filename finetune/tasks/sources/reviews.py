"""Review sentences made by the project. The label rule stands in `finetune/reviews/sentences.py`."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from pydantic import Field

from compress.core.errors import UnknownName
from compress.core.values import Count
from finetune.reviews.sentences import sentence
from finetune.reviews.words import Part
from finetune.tasks.source import Source

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["Reviews", "sentences"]

PARTS: dict[str, Part] = {"train": "train", "test": "evaluation"}


class Reviews(Source):
    """English review sentences from a grammar; the test split speaks in opinion words that training never shows.

    So word counts learned in training are worth nothing in the test split, and a model does well by knowing English:
    a bag of words or an untrained encoder guesses, a fine-tuned one does not, and damage by compression shows.
    """

    train: Count = Field(4000, description="rows of the train split")
    evaluation: Count = Field(1000, description="rows of the test split")
    seed: int = Field(0, ge=0, description="draws the sentences; the seeds of a run do not change them")

    def splits(self) -> tuple[str, ...]:
        return tuple(PARTS)

    def rows(self, split: str) -> Dataset:
        from datasets import Dataset

        if split not in PARTS:
            raise UnknownName("split", split, PARTS, where=self.describe())
        count = self.train if split == "train" else self.evaluation
        return Dataset.from_list(sentences(count, part=PARTS[split], seed=self.seed))


def sentences(count: int, *, part: Part, seed: int) -> list[dict[str, str | int]]:
    """`count` different sentences, half of them positive: rows of `text` and `label`.

    The same arguments give the same rows on every machine, and fewer rows are the beginning of more rows. The two parts
    have no opinion word in common.
    """
    random = Random(f"reviews {part} {seed}")
    seen: set[str] = set()
    rows: list[dict[str, str | int]] = []
    while len(rows) < count:
        for label in random.sample((0, 1), 2):
            text = sentence(random, part=part, label=label)
            while text in seen:
                text = sentence(random, part=part, label=label)
            seen.add(text)
            rows.append({"text": text, "label": label})
    return rows[:count]
