"""Selection of the tokens that stay: those of a corpus, the most frequent, the first of the vocabulary."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from compress.core.errors import InputError
from compress.vocabulary.tokenizers.trimming import Vocabulary

__all__ = ["check_room", "counted", "first_pieces", "top", "used"]

CHUNK = 10_000
PLACEHOLDER = re.compile(r"[\[<]unused_?\d+[\]>]")
"""Tokens that no text has: reserved entries of a vocabulary."""


def counted(tokenizer: Any, texts: Sequence[str]) -> dict[int, int]:
    """Token frequencies: id -> count in the texts. Special tokens around a text are not counted.

    Args:
        tokenizer: a fast one.
        texts: not truncated.
    """
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
    """The first `count` tokens of a vocabulary that is ordered by frequency, without those that always stay.

    Args:
        vocabulary: of the tokenizer.
        count: from 0 on.
    """
    skipped = vocabulary.essential
    pieces = sorted(vocabulary.model.pieces.items())
    ordinary = [number for number, piece in pieces if number not in skipped and not PLACEHOLDER.fullmatch(piece)]
    return ordinary[:count]


def used(vocabulary: Vocabulary, counts: Iterable[int], *, also: int, fixed: Iterable[int]) -> tuple[int, ...]:
    """The ids that stay, ascending: those of the texts, those that always stay, and the first `also` tokens.

    Args:
        vocabulary: the whole one.
        counts: the ids that occur in the texts.
        also: how many of the first tokens.
        fixed: ids that the model's configuration names (padding, start, ...).
    """
    kept = vocabulary.closed([*counts, *first_pieces(vocabulary, also)])
    return tuple(sorted(kept | set(fixed)))


def check_room(always: Collection[int], count: int) -> None:
    """Raise `InputError` where more tokens always stay than are to be kept.

    Args:
        always: ids that always stay.
        count: how many are to be kept.
    """
    if len(always) > count:
        raise InputError(
            f"{len(always)} special tokens and single characters always stay, more than are to be kept",
            given=count,
            advice="keep more, or `keep: used`",
        )


def top(vocabulary: Vocabulary, counts: dict[int, int], count: int, *, fixed: Iterable[int]) -> tuple[int, ...]:
    """`count` ids, ascending: those that always stay, the most frequent of the texts, the first of the vocabulary.

    A token stays together with its ancestors; where they do not fit, the next token is tried.

    Args:
        vocabulary: the whole one.
        counts: id -> frequency in the texts.
        count: size of the trimmed vocabulary.
        fixed: ids that the model's configuration names.

    Raises:
        InputError: more tokens than `count` always stay.
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
