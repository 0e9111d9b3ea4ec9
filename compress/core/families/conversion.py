"""Conversion between families of the same modules: which module becomes which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Conversion"]


@dataclass(frozen=True)
class Conversion:
    """Module map from a source family ("there") to this one ("here"), with an embedding size below the hidden size.

    Here the embeddings are summed, normalised at the embedding size, and then projected to the hidden size. Paths are
    dotted and relative to the base model, or to one block; embeddings and norm have the same paths in both families.
    """

    block: Mapping[str, str]
    """Module of a block there -> module of a block here."""
    outside: Mapping[str, str]
    """Module outside of the blocks there -> here; what a model lacks is skipped."""
    tables: tuple[str, ...]
    """The embeddings whose rows are summed."""
    positions: str
    """The path of the position embeddings among them."""
    norm: str
    """The norm of their sum."""
    mapping: str
    """The linear here that projects the normalised sum to the hidden size."""
    groups: str
    """Field of the configuration here: the number of blocks, each of which runs for as many layers."""
    width: str
    """Field of the configuration here: the embedding size."""
    length: str
    """Field of the configuration here: the number of positions."""
    head: Mapping[str, str] = field(default_factory=dict)
    """Module of a task's head there -> module of the base model here; the rest of the head keeps its names, or those
    of `head_names`."""
    head_names: Mapping[str, str] = field(default_factory=dict)
    """Module of a task's head there -> module of the head here."""
    first_position: str | None = None
    """Field of the configuration there: the position id before the first; the rows up to it are left out, and texts
    must be padded on the right. None where positions are counted from 0."""
    config: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Field of the configuration here -> fields there, of which the first that is given is copied. Fields of equal
    names are copied as they are."""
