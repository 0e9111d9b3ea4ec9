"""Which pieces stay."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from compress.core.errors import InputError
from compress.vocabulary.tokenizer import Vocabulary

__all__ = ["check_room", "counted", "first_pieces", "top", "used"]

CHUNK = 10_000
PLACEHOLDER = re.compile(r"[\[<]unused_?\d+[\]>]")
"""Pieces that no text has: room that was left in a vocabulary."""


def counted(tokenizer: Any, texts: Sequence[str]) -> dict[int, int]:
    """Id -> how often the texts hold it. Special tokens that stand around a text are not counted."""
    backend = tokenizer.backend_tokenizer
    total: dict[int, int] = {}
    for start in range(0, len(texts), CHUNK):
        encoded = tokenizer(list(texts[start : start + CHUNK]), add_special_tokens=False, truncation=False)
        ids = np.fromiter((n for row in encoded["input_ids"] for n in row), dtype=np.int64)
        for number, count in zip(*np.unique(ids, return_counts=True)):
            total[int(number)] = total.get(int(number), 0) + int(count)
    backend.no_truncation()
    return total


def first_pieces(vocabulary: Vocabulary, count: int) -> list[int]:
    """The first `count` pieces of a vocabulary that is ordered by frequency; those that always stay are no part."""
    skipped = vocabulary.essential
    pieces = sorted(vocabulary.model.pieces.items())
    ordinary = [number for number, piece in pieces if number not in skipped and not PLACEHOLDER.fullmatch(piece)]
    return ordinary[:count]


def used(vocabulary: Vocabulary, counts: Iterable[int], *, also: int, fixed: Iterable[int]) -> tuple[int, ...]:
    """The ids that stay: what the texts hold, what always stays, and the `also` first pieces.

    Args:
        vocabulary: the whole one.
        counts: the ids that the texts hold.
        also: how many of the first pieces.
        fixed: ids that the model needs.
    """
    kept = vocabulary.closed([*counts, *first_pieces(vocabulary, also)])
    return tuple(sorted(kept | set(fixed)))


def check_room(always: Collection[int], count: int) -> None:
    """Raise `InputError` where more always stay than are to be kept."""
    if len(always) > count:
        raise InputError(
            f"{len(always)} special tokens and single characters always stay, more than are to be kept",
            given=count,
            advice="keep more, or `keep: used`",
        )


def top(vocabulary: Vocabulary, counts: dict[int, int], count: int, *, fixed: Iterable[int]) -> tuple[int, ...]:
    """`count` ids: what always stays, then the most frequent of the texts, then the first of the vocabulary.

    A piece stays together with its ancestors; one that has no room with them makes way for the next.

    Raises:
        InputError: there is no room for what always stays.
    """
    kept = vocabulary.closed(()) | set(fixed)
    check_room(kept, count)
    by_frequency = sorted(counts, key=lambda number: (-counts[number], number))
    for number in [*by_frequency, *sorted(vocabulary.ids)]:
        if len(kept) == count:
            break
        if number not in kept:
            wanted = vocabulary.model.closed({number}) | kept
            kept = wanted if len(wanted) <= count else kept
    return tuple(sorted(kept))
