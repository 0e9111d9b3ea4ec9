"""Names that are close to a given one in spelling: what was meant by a misspelt name."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["close_names"]

LONGEST = 80
"""Characters; a longer text is no name, and is near to none."""


def close_names(given: str, known: Iterable[str], *, most: int = 3) -> list[str]:
    """The names that `given` can be a slip of the pen for, the nearest first; none where no name is near.

    Near is another case, a hyphen for an underscore, another ending of the same beginning (`epoch`, `latencies`), or up
    to one edit in five characters (Damerau-Levenshtein: a character more, less, other, or two in the other order).
    Names that differ in their numbers are never near: `int4` is no misspelt `int8`.

    Args:
        given: the name that nothing answers to.
        known: the names that there are.
        most: how many names are given at most.
    """
    if not 1 < len(given) <= LONGEST:
        return []
    found = sorted((rank, name) for name in set(map(str, known)) if (rank := _rank(given, name)) is not None)
    nearest = [name for rank, name in found if rank == found[0][0]]
    return nearest[:most]


def _rank(given: str, name: str) -> int | None:
    """Edits between two names; None where they are not near."""
    one, two = _plain(given), _plain(name)
    if re.findall(r"\d+", one) != re.findall(r"\d+", two) or len(two) > LONGEST:
        return None
    edits, longer = _edits(one, two), max(len(one), len(two))
    shared = next(
        (place for place, (left, right) in enumerate(zip(one, two)) if left != right), min(len(one), len(two))
    )
    beginning = shared >= 3 and 3 * shared >= 2 * longer
    return edits if edits <= max(1, longer // 5) or beginning else None


def _plain(name: str) -> str:
    return re.sub(r"[\s\-]+", "_", name.casefold())


def _edits(one: str, two: str) -> int:
    """Damerau-Levenshtein distance, of adjacent characters in the other order too."""
    before: list[int] = []
    above = list(range(len(two) + 1))
    for row, left in enumerate(one, 1):
        line = [row]
        for column, right in enumerate(two, 1):
            cost = min(above[column] + 1, line[-1] + 1, above[column - 1] + (left != right))
            if row > 1 and column > 1 and left == two[column - 2] and one[row - 2] == right:
                cost = min(cost, before[column - 2] + 1)
            line.append(cost)
        before, above = above, line
    return above[-1]
