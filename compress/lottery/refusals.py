"""Models that have no tickets to search for."""

from __future__ import annotations

from compress.core.errors import InputError
from compress.core.families.family import Part
from compress.core.model.sketch import Sketch
from compress.core.model.state import State
from compress.prune.forbidden import forbidden as forbidden_to_prune

__all__ = ["forbidden", "no_units"]

PARTS: tuple[Part, ...] = ("heads", "neurons")


def forbidden(sketch: Sketch) -> frozenset[State]:
    """States of a model whose tickets cannot be searched for."""
    return forbidden_to_prune(sketch) | {"masked"}


def no_units(sketch: Sketch, stage: str) -> str | None:
    """Why whole heads and feed-forward networks of such a model cannot be masked, or None.

    Args:
        sketch: of the model.
        stage: its name, for the message.
    """
    try:
        for part in PARTS:
            sketch.family.require(part, stage=stage)
    except InputError as error:
        return str(error)
    return None
