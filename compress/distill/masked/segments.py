"""Raw text as rows to train on: single texts, and pairs of segments whose order is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from random import Random

from compress.core.fit.protocol import NO_LABEL, Texts

__all__ = ["IN_ORDER", "SWAPPED", "rows_of_text", "sentences"]

IN_ORDER, SWAPPED = 0, 1
END = re.compile(r"(?<=[.!?])\s+(?=\S)")


def sentences(text: str) -> list[str]:
    """A text cut behind full stops, exclamation and question marks that white space follows.

    Example:
        >>> sentences("It is 3.5 m long. Is it? Yes")
        ['It is 3.5 m long.', 'Is it?', 'Yes']
    """
    return [part.strip() for part in END.split(text) if part.strip()]


def rows_of_text(documents: Iterable[Sequence[str]], *, seed: int) -> Texts:
    """Two segments that follow each other in a document, half of them swapped; a single sentence is a row alone.

    Of a document of several texts (the lines of a file up to an empty one) two neighbours are a pair, so that each
    text stands in one row. A document of one text is cut between two of its sentences, near its middle.  Lan et al.
    2020, arXiv 1909.11942, section 3.1.
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
