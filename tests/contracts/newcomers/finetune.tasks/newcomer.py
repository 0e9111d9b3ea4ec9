"""A task that is not there yet."""

from __future__ import annotations

from finetune.tasks.text_classification import TextClassification


class Newcomer(TextClassification):
    """Sort texts, under another name."""
