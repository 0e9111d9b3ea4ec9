"""Models that cannot be pruned as they are."""

from __future__ import annotations

from compress.core.sketch import Sketch, State

__all__ = ["unfit"]

UNFIT: tuple[tuple[State, str], ...] = (
    ("quantized", "its weights are quantized; prune before 'quantize'"),
    ("fake_quantized", "it holds fake quantisation; prune before it"),
    ("adapted", "it holds adapters; merge them first"),
    ("shared", "its blocks share weights; prune before 'share', or put 'untie' before this stage"),
    ("factorized", "its linears are factorized; prune before 'factorize', or put 'merge_factors' before this stage"),
)


def unfit(sketch: Sketch) -> str | None:
    """Why nothing can be cut out of such a model, and what to do about it; None where it can."""
    return next((why for state, why in UNFIT if state in sketch.states), None)
