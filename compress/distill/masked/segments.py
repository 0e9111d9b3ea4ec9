"""Raw text as training rows: single texts, and pairs of segments for sentence order prediction."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from random import Random

from compress.core.fit.protocol import NO_LABEL, Texts

__all__ = ["IN_ORDER", "SWAPPED", "rows_of_text", "sentences"]

IN_ORDER, SWAPPED = 0, 1
END = re.compile(r"(?<=[.!?])\s+(?=\S)")


def sentences(text: str) -> list[str]:
    """Sentences of a text: split behind full stops, exclamation and question marks that white space follows.

    Example:
        >>> sentences("It is 3.5 m long. Is it? Yes")
        ['It is 3.5 m long.', 'Is it?', 'Yes']
    """
    return [part.strip() for part in END.split(text) if part.strip()]


def rows_of_text(documents: Iterable[Sequence[str]], *, seed: int) -> Texts:
    """Segment pairs: two neighbours of a document, half of the pairs swapped; a single sentence is a row alone.

    Of a document of several texts (the lines of a file up to an empty one) two neighbours are a pair, so that each
    text stands in one row. A document of one text is split between two of its sentences, near its middle.

    Args:
        documents: each as its texts in order.
        seed: of which pairs are swapped.

    Returns:
        Rows of one or two segments, with the labels `IN_ORDER`, `SWAPPED`, or `NO_LABEL` for a single one.

    References:
        Lan et al. 2020, arXiv 1909.11942, section 3.1.
    """
    draw = Random(seed)
    rows: list[tuple[str, ...]] = []
    labels: list[int] = []
    for segments in (row for document in documents for row in _rows(document)):
        swapped = len(segments) == 2 and draw.random() < 0.5
        rows.append(segments[::-1] if swapped else segments)
        labels.append(NO_LABEL if len(segments) == 1 else SWAPPED if swapped else IN_ORDER)
    return Texts(tuple(rows), tuple(labels))


def _rows(document: Sequence[str]) -> Iterator[tuple[str, ...]]:
    paired = len(document) // 2 * 2 if len(document) > 1 else 0
    yield from zip(document[:paired:2], document[1:paired:2])
    for text in document[paired:]:
        found = sentences(text)
        half = (len(found) + 1) // 2
        yield (" ".join(found[:half]), " ".join(found[half:])) if len(found) > 1 else (text,)
