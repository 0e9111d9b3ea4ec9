"""Small curves of what was noted over a training, such as its loss. Built from numbers alone, so safe to embed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from recipes.report import units
from recipes.report.pictures import Picture

__all__ = ["curves", "is_curve"]

WIDTH, HEIGHT, EDGE = 240.0, 56.0, 3.0
FEWEST = 5


def curves(facts: dict[str, Any], name: str = "") -> list[Picture]:
    """One curve for each list in `facts`, at any depth, whose name ends in `curve`."""
    drawn = []
    for key, value in facts.items():
        words = f"{name}, {key}" if name else str(key)
        if isinstance(value, dict):
            drawn += curves(value, words)
        elif is_curve(key, value):
            drawn.append(_curve(words.replace("_", " "), [float(one) for one in value]))
    return drawn


def is_curve(key: str, value: Any) -> bool:
    """Whether `curves` draws it: enough finite numbers, and named so."""
    if not (str(key).endswith("curve") and isinstance(value, list) and len(value) >= FEWEST):
        return False
    return all(isinstance(one, int | float) and math.isfinite(one) for one in value)


def _curve(name: str, values: Sequence[float]) -> Picture:
    """A line above a ground at zero, or at the least value where that is below."""
    ground, top = min(0.0, *values), max(0.0, *values)
    across, up = (WIDTH - 2 * EDGE) / (len(values) - 1), (HEIGHT - 2 * EDGE) / ((top - ground) or 1.0)
    points = " ".join(f"{EDGE + i * across:.1f},{HEIGHT - EDGE - (v - ground) * up:.1f}" for i, v in enumerate(values))
    words = f"{name}: from {units.plain_number(values[0])} to {units.plain_number(values[-1])}, {len(values):,} points"
    svg = (
        f'<svg class="curve" role="img" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" width="{WIDTH:g}" height="{HEIGHT:g}">'
        f'<title>{escape(words)}</title><path class="ground" d="M0 {HEIGHT - EDGE + ground * up:.1f}h{WIDTH:g}"/>'
        f'<polyline class="line" points="{points}"/></svg>'
    )
    return Picture(f"{words}; the line below is 0", svg)
