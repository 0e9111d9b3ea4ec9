"""How a model of one family becomes one of another that is built of the same parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Conversion"]


@dataclass(frozen=True)
class Conversion:
    """Where the modules of the family go that is turned into another, whose embeddings are narrower than its blocks.

    Its input tables are summed, normed at their own width, and then mapped to the width of the blocks. Paths are
    dotted and relative to the base model, or to one block; tables and norm have the same paths in both families.
    """

    block: Mapping[str, str]
    """Module of a block there -> module of a block here."""
    outside: Mapping[str, str]
    """Module outside of the blocks there -> here; what a model lacks is passed over."""
    tables: tuple[str, ...]
    """The embeddings whose rows are summed."""
    positions: str
    """Which of them is that of the positions."""
    norm: str
    """The norm of their sum."""
    mapping: str
    """The linear here that brings the normed sum to the width of the blocks."""
    groups: str
    """The field of the configuration here that says how many blocks there are, each run for as many layers."""
    width: str
    """The field of the configuration here that says how wide the tables are."""
    length: str
    """The field of the configuration here that says how many positions there are."""
    head: Mapping[str, str] = field(default_factory=dict)
    """Module of a task's head there -> module of the base model here; the rest of the head keeps its names, or those
    of `head_names`."""
    head_names: Mapping[str, str] = field(default_factory=dict)
    """Module of a task's head there -> module of the head here."""
    first_position: str | None = None
    """The field of the configuration there of the last number before the first position; the rows up to it are left
    out, and texts must be padded on the right. None where positions are counted from 0."""
    config: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Field of the configuration here -> those there of which it is the first that is given. Fields of equal names go
    over as they are."""
