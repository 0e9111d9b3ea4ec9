"""Short sentences with a label that a tiny model can learn."""

from __future__ import annotations

import random
from typing import Any

__all__ = ["WORDS", "tiny_rows"]

GOOD = ("good", "great", "lovely", "fine", "warm", "bright")
BAD = ("bad", "awful", "dull", "poor", "cold", "grim")
FILLER = ("the", "film", "is", "was", "a", "story", "and", "very", "quite", "actor", "scene", "music", "plot", "with")
WORDS = (*GOOD, *BAD, *FILLER)


def tiny_rows(n: int, seed: int = 0, *, labels: int = 2) -> list[dict[str, Any]]:
    """`n` rows {text, label, row_id} of 3 to 12 words; with more than two labels the label counts the good words."""
    draw = random.Random(seed)
    return [_row(draw, number, labels) for number in range(n)]


def _row(draw: random.Random, number: int, labels: int) -> dict[str, Any]:
    label = draw.randrange(labels)
    said = draw.sample(GOOD, label) if labels > 2 else [draw.choice(GOOD if label else BAD)]
    words = [draw.choice(FILLER) for _ in range(draw.randint(2, 11))] + said
    draw.shuffle(words)
    return {"text": " ".join(words), "label": label, "row_id": number}
