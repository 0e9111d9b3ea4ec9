"""A source of rows that is not there yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetune.tasks.source import Source

if TYPE_CHECKING:
    from datasets import Dataset

ROWS = {"train": 160, "test": 40}


class Newcomer(Source):
    """Counted words, good and bad."""

    def splits(self) -> tuple[str, ...]:
        return tuple(ROWS)

    def rows(self, split: str) -> Dataset:
        from datasets import Dataset

        words = ("bad", "good")
        rows = [
            {"text": f"{split} {number} is {words[number % 2]}", "label": number % 2} for number in range(ROWS[split])
        ]
        return Dataset.from_list(rows)
