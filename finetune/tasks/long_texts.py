"""Beginnings of long texts: as much as decides the tokens that stay after truncation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["LONGEST_WORD", "beginnings", "longest_word"]

CHARACTERS = 40
"""For each token that stays: a text that is longer is cut before it is tokenised. English has some five."""
GROWTH = 4
LONGEST_WORD = 1_000_000
"""Characters without a blank. A tokenizer has to read all of a word before it knows the word's first token."""


def beginnings(texts: Sequence[str], tokenizer: Any, *, tokens: int) -> list[str]:
    """Each text, or as much of its beginning as has more than `tokens` tokens, so that truncation leaves the same ones.

    A text is cut where a word ends: no tokenizer joins the end of a word to what follows the blank.

    Args:
        texts: of one column.
        tokenizer: that will truncate them.
        tokens: that stay.
    """
    if tokenizer.truncation_side == "left" or tokens < 1:
        return list(texts)
    limit = CHARACTERS * tokens
    return [text if len(text) <= limit else _beginning(text, tokenizer, tokens) for text in texts]


def longest_word(text: str) -> int:
    """Length of the longest run without a blank, in characters."""
    return max(map(len, text.split()), default=0)


def _beginning(text: str, tokenizer: Any, tokens: int) -> str:
    size = CHARACTERS * tokens
    while size < len(text):
        cut = _end_of_word(text, size)
        if cut and _count(text[:cut], tokenizer, most=tokens + 1) > tokens:
            return text[:cut]
        size *= GROWTH
    return text


def _end_of_word(text: str, size: int) -> int:
    """The last place before `size` where a blank follows a word; 0 where there is none."""
    for place in range(size, 0, -1):
        if text[place].isspace() and not text[place - 1].isspace():
            return place
    return 0


def _count(text: str, tokenizer: Any, *, most: int) -> int:
    encoded = tokenizer(text, add_special_tokens=False, truncation=True, max_length=most, padding=False)
    return len(encoded["input_ids"])
