"""Models that cannot be pruned as they are."""

from __future__ import annotations

from compress.core.model.sketch import Sketch, State

__all__ = ["unfit"]

UNFIT: tuple[tuple[State, str], ...] = (
    ("quantized", "its weights are quantized; prune before 'quantize'"),
    ("fake_quantized", "it holds fake quantisation; prune before it"),
    ("adapted", "it holds adapters; merge them first"),
    ("shared", "its blocks share weights; prune before 'share', or put 'untie' before this stage"),
)
FACTORIZED = "factorized; prune before 'factorize', or put 'merge_factors' before this stage"


def unfit(sketch: Sketch, *, narrows: bool = False) -> str | None:
    """Why nothing can be cut out of such a model, and what to do about it; None where it can.

    Args:
        narrows: whether the hidden dimension is cut, which the table of words has too.
    """
    why = sketch.unfit(UNFIT)
    if why is None and sketch.has_factorized_linears:
        return f"its linears are {FACTORIZED}"
    return why or (f"its table of words is {FACTORIZED}" if narrows and "factorized" in sketch.states else None)
