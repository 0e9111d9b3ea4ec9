"""`python -m compress.lottery TICKET TICKET`: how much two tickets have in common, matrix by matrix."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from compress.core.errors import InputError
from compress.lottery.overlap import Overlap, by_chance, overlap, overlap_by_parameter
from compress.lottery.ticket import Ticket, read_ticket

__all__ = ["comparison", "main"]

USAGE = "python -m compress.lottery TICKET TICKET"


def main(arguments: Sequence[str]) -> int:
    """Print what two ticket files share; 2 where they cannot be compared."""
    try:
        if len(arguments) != 2:
            raise InputError("two tickets are compared", given=list(arguments), advice=USAGE)
        print(comparison(*(read_ticket(Path(name)) for name in arguments)))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def comparison(one: Ticket, other: Ticket) -> str:
    """A table: Jaccard's index of what both keep and of what both remove, beside that of random masks so large.

    Args:
        one, other: tickets of models of the same shapes.

    Raises:
        InputError: they are tickets of models of other shapes.
    """
    lines = [("matrix", "kept", "removed"), ("all", *_shares(overlap(one.masks, other.masks)))]
    lines.append(("by chance", *_shares(by_chance(one.remaining, other.remaining))))
    lines += [(name, *_shares(found)) for name, found in overlap_by_parameter(one.masks, other.masks).items()]
    width = max(len(name) for name, *_ in lines)
    found = "\n".join(f"{name:{width}}  {kept:>7}  {removed:>7}" for name, kept, removed in lines)
    return found if one.model == other.model else f"{found}\nthe tickets were found in models of different weights"


def _shares(found: Overlap) -> tuple[str, str]:
    return f"{found.kept:.3f}", f"{found.removed:.3f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
